//! The admin endpoint: `/metrics` for Prometheus, `/healthz` for load balancers, a page for people and
//! its `/samples`.
//!
//! It is a service as the others are, a function of bytes, and shows what the server has measured.

mod exposition;
mod http;
mod page;
mod process;
mod samples;

use crate::event_loop::measurements::SharedMeasurements;
use crate::server::options::Model;
use crate::service::{Action, Output, Progress, StreamService};

use http::{Circumstances, POLICY_OF_DATA, Refusal, Request, Response, TEXT};
pub(super) use process::ProcessSource;

/// Serves what is measured.
pub(super) struct Metrics {
    measured: SharedMeasurements,
    process: ProcessSource,
    model: Model,
}

/// The content of a response.
struct Content {
    status: &'static str,
    media_type: &'static str,
    policy: &'static str,
    body: Vec<u8>,
}

impl Metrics {
    /// Shows `measured`, of a server of this model.
    pub(super) fn new(measured: SharedMeasurements, process: ProcessSource, model: Model) -> Self {
        Self { measured, process, model }
    }

    /// The content that `request` asks for.
    fn content(&self, request: &Request<'_>) -> Result<Content, Refusal> {
        let resource = Resource::at(request.path).ok_or(Refusal::NotFound)?;
        if !["GET", "HEAD"].contains(&request.method) {
            return Err(Refusal::MethodNotAllowed);
        }
        if request.has_body {
            return Err(Refusal::ContentTooLarge);
        }
        Ok(match resource {
            Resource::Page => {
                let page = Content::data(page::CONTENT_TYPE, page::PAGE.as_bytes().into());
                Content { policy: page::POLICY, ..page }
            }
            Resource::Metrics => self.metrics(),
            Resource::Health => self.health(),
            Resource::Samples => self.samples(request.query).ok_or(Refusal::BadRequest)?,
        })
    }

    fn metrics(&self) -> Content {
        let mut body = Vec::new();
        let process = self.process.read();
        exposition::write(&self.measured.lock(), &process, self.model, &mut body);
        Content::data(exposition::CONTENT_TYPE, body)
    }

    fn health(&self) -> Content {
        if self.measured.lock().is_stopping {
            Content { status: "503 Service Unavailable", ..Content::data(TEXT, b"stopping\n".into()) }
        } else {
            Content::data(TEXT, b"ok\n".into())
        }
    }

    /// `None`: the query asks for something else.
    fn samples(&self, query: Option<&str>) -> Option<Content> {
        let first = samples::first(query)?;
        let mut body = Vec::new();
        samples::write(&self.measured.lock(), self.model, first, &mut body);
        Some(Content::data(samples::CONTENT_TYPE, body))
    }
}

/// What is served.
enum Resource {
    Page,
    Metrics,
    Health,
    Samples,
}

impl Resource {
    fn at(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/metrics" => Some(Self::Metrics),
            "/healthz" => Some(Self::Health),
            "/samples" => Some(Self::Samples),
            _ => None,
        }
    }
}

impl Content {
    /// What was asked for, and is not a page.
    fn data(media_type: &'static str, body: Vec<u8>) -> Self {
        Self { status: "200 OK", media_type, policy: POLICY_OF_DATA, body }
    }
}

impl StreamService for Metrics {
    fn received(&self, unread: &[u8], _ended: bool, out: &mut Output<'_>) -> Progress {
        let answer = out.answer();
        let mut consumed = 0;
        let unix_seconds = self.measured.lock().samples.unix_seconds();
        loop {
            let rest = &unread[consumed..];
            let request = match http::parse(rest) {
                Ok(Some(request)) => request,
                Ok(None) => return Progress { consumed, action: Action::Continue },
                // Where the next request begins is not known.
                Err(refusal) => {
                    let is_head = http::begins_as_head(rest);
                    refusal.append(Circumstances { is_head, is_last: true, unix_seconds }, answer);
                    return Progress { consumed, action: Action::End };
                }
            };
            consumed += request.bytes;
            let is_last = request.is_last;
            let circumstances = Circumstances { is_head: request.method == "HEAD", is_last, unix_seconds };
            match self.content(&request) {
                Ok(Content { status, media_type, policy, body }) => {
                    let response = Response { status, content_type: media_type, policy, body: &body };
                    response.append(circumstances, answer);
                }
                Err(refusal) => refusal.append(circumstances, answer),
            }
            if is_last {
                return Progress { consumed, action: Action::End };
            }
        }
    }
}

#[cfg(test)]
mod tests;
