//! HTTP/1 requests and responses as bytes. It knows neither connections nor what is served.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httparse::{EMPTY_HEADER, Error, Header, Status};
use httpdate::HttpDate;

/// Maximum size of the head of a request. A browser sends less than half of it.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Maximum number of header fields.
const FIELDS_MAX: usize = 64;

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Without scheme and host, and without the query.
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    /// A body follows, which is not read.
    pub(super) has_body: bool,
    /// Nothing that follows is answered.
    pub(super) is_last: bool,
    /// The bytes of its head.
    pub(super) bytes: usize,
}

/// Why a request is not answered as it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    /// It has a body.
    ContentTooLarge,
    HeadTooLarge,
}

impl Refusal {
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// Parses the request at the beginning of `bytes`; `None` if it is not complete.
///
/// # Errors
/// It is no request that can be answered. What follows it cannot be found.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request<'_>>, Refusal> {
    // What is beyond the limit is never looked at, so the outcome is the same however the bytes arrive.
    let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(head) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if head.len() == HEAD_BYTES_MAX => return Err(Refusal::HeadTooLarge),
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) => return Err(Refusal::BadRequest),
    };
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Refusal::BadRequest);
    };
    let fields = Fields(request.headers);
    let has_body = has_body(&fields)?;
    check_host(&fields, version == 1)?;
    let target = without_authority(target).ok_or(Refusal::BadRequest)?;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let closes = fields.words("connection").any(|word| word.eq_ignore_ascii_case("close"));
    let is_last = closes || version == 0 || has_body;
    Ok(Some(Request { method, path, query, has_body, is_last, bytes: length }))
}

/// Whether bytes that are no good request begin as one for the head of a response.
pub(super) fn begins_as_head(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"HEAD ")
}

/// The header fields of a request.
struct Fields<'h, 'b>(&'h [Header<'b>]);

impl<'b> Fields<'_, 'b> {
    /// The values of all fields with this name.
    fn named(&self, name: &'static str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The parts of their values between commas, as far as they are text.
    fn words(&self, name: &'static str) -> impl Iterator<Item = &'b str> {
        self.named(name)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|it| it.split(','))
            .map(str::trim)
    }
}

/// Whether a body follows.
fn has_body(fields: &Fields<'_, '_>) -> Result<bool, Refusal> {
    let mut has_body = fields.named("transfer-encoding").next().is_some();
    for length in fields.named("content-length") {
        if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::BadRequest);
        }
        has_body |= length.iter().any(|digit| *digit != b'0');
    }
    Ok(has_body)
}

/// Checks that there is one field `Host`, or none if it is not required, and that it can be a host and a port. Which one
/// does not matter: the endpoint has the same content under every name.
fn check_host(fields: &Fields<'_, '_>, is_required: bool) -> Result<(), Refusal> {
    let mut hosts = fields.named("host");
    let is_good = match hosts.next() {
        Some(host) => host.iter().all(|byte| is_of_host(*byte)) && hosts.next().is_none(),
        None => !is_required,
    };
    if is_good { Ok(()) } else { Err(Refusal::BadRequest) }
}

/// Whether a host and a port can have this byte (RFC 3986, section 3.2).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// The path and the query of a target, which may begin with a scheme and a host.
fn without_authority(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let path = rest.find(['/', '?']).map(|end| &rest[end..]);
    Some(path.filter(|path| path.starts_with('/')).unwrap_or("/"))
}

/// A response.
#[derive(Debug)]
pub(super) struct Response<'a> {
    pub(super) status: &'a str,
    pub(super) content_type: &'a str,
    /// What a browser may load and run of it: the value of `Content-Security-Policy`.
    pub(super) policy: &'a str,
    pub(super) body: &'a [u8],
}

/// The policy of what is not a page.
pub(super) const POLICY_OF_DATA: &str = "default-src 'none'; frame-ancestors 'none'";

/// The type of a line of text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// What a response depends on besides its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// The request was `HEAD`: there is no body.
    pub(super) is_head: bool,
    /// The connection ends.
    pub(super) is_last: bool,
    /// The time, in seconds since the epoch.
    pub(super) unix_seconds: i64,
}

impl Response<'_> {
    /// Appends it to `answer`.
    pub(super) fn append(&self, circumstances: Circumstances, answer: &mut Vec<u8>) {
        self.append_with("", circumstances, answer);
    }

    fn append_with(&self, fields: &str, circumstances: Circumstances, answer: &mut Vec<u8>) {
        let Self { status, content_type, policy, body } = self;
        let Circumstances { is_head, is_last, unix_seconds } = circumstances;
        let (bytes, connection) = (body.len(), if is_last { "Connection: close\r\n" } else { "" });
        let date =
            HttpDate::from(UNIX_EPOCH + Duration::from_secs(unix_seconds.clamp(0, DATE_MAX).unsigned_abs()));
        write!(
            answer,
            "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Type: {content_type}\r\nContent-Length: {bytes}\r\n\
             Content-Security-Policy: {policy}\r\n{FIELDS}{fields}{connection}\r\n"
        )
        .expect("writing to a Vec cannot fail");
        if !is_head {
            answer.extend_from_slice(body);
        }
    }
}

impl Refusal {
    /// Appends the response that says so to `answer`.
    pub(super) fn append(self, circumstances: Circumstances, answer: &mut Vec<u8>) {
        let status = self.status();
        let body = format!("{status}\n");
        let allowed = if self == Self::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        let response = Response { status, content_type: TEXT, policy: POLICY_OF_DATA, body: body.as_bytes() };
        response.append_with(allowed, circumstances, answer);
    }
}

/// The last second that a date can express, of the year 9999.
const DATE_MAX: i64 = 253_402_300_799;

/// Header fields of all responses: they are not kept, not guessed at, and not shown to other sites.
const FIELDS: &str = "Cache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: no-referrer\r\n";
