//! The arguments of `load` for a server of any protocol.

use clap::Args;

use crate::load::byte_text::ByteText;
use crate::load::exchange::Exchange;
use crate::load::expected::{Delimiter, Expected, parse_count};

/// How bytes are written, for the end of the help.
pub(super) const BYTES: &str = "\
BYTES is text with the escapes \\r, \\n, \\t, \\0, \\\\, \\{, \\xNN (a byte) and \\u{…} (a character), hexadecimal digits \
after hex:, as in 'hex:0d 0a', or the contents of a file, as in @FILE. In --send and --expect, {seq} is the number of \
the request on its connection and {conn} that of the connection, both from 1; {seq:u16}, {seq:u32}, {conn:u16} and \
{conn:u32} are the same in two or four bytes, the most significant first. \\{ is the brace itself, and so is any brace before other text. REPLY is BYTES, \
bytes:N (any N bytes) or until:BYTES (any bytes up to the first BYTES).";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Servers of any protocol (tcp= and udp=)")]
pub(super) struct ExchangeArguments {
    /// The request
    #[arg(long, value_name = "BYTES", env = "LOOPLINE_LOAD_SEND", allow_hyphen_values = true)]
    send: Option<ByteText>,

    /// The reply to each request [default with udp=: any datagram]
    #[arg(long, value_name = "BYTES", env = "LOOPLINE_LOAD_EXPECT", allow_hyphen_values = true)]
    expect: Option<ByteText>,

    /// Instead of --expect: the reply is any N bytes
    #[arg(long, value_name = "N", env = "LOOPLINE_LOAD_EXPECT_BYTES", value_parser = parse_count)]
    expect_bytes: Option<u32>,

    /// Instead of --expect: the reply is any bytes up to the first of these, within a MiB; with udp=, a datagram that
    /// ends so
    #[arg(long, value_name = "BYTES", env = "LOOPLINE_LOAD_EXPECT_UNTIL", allow_hyphen_values = true)]
    expect_until: Option<Delimiter>,

    /// What the server sends first on each connection
    #[arg(long, value_name = "REPLY", env = "LOOPLINE_LOAD_GREETING", allow_hyphen_values = true)]
    greeting: Option<Expected>,

    /// What to send once on each connection, before requests
    #[arg(long, value_name = "BYTES", env = "LOOPLINE_LOAD_HELLO", allow_hyphen_values = true)]
    hello: Option<ByteText>,

    /// The reply to --hello
    #[arg(long, value_name = "REPLY", env = "LOOPLINE_LOAD_HELLO_EXPECT", allow_hyphen_values = true)]
    hello_expect: Option<Expected>,
}

impl From<ExchangeArguments> for Exchange {
    fn from(it: ExchangeArguments) -> Self {
        Self {
            send: it.send,
            expect: it.expect,
            expect_bytes: it.expect_bytes,
            expect_until: it.expect_until,
            greeting: it.greeting,
            hello: it.hello,
            hello_expect: it.hello_expect,
        }
    }
}
