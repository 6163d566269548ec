//! One HTTP connection to a webhook endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Context as _;
use billhook_core::Secret;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::Hinted;
use crate::settings::configuration::Configuration;

/// Longest wait for a connection or an answer, in seconds.
const DEADLINE_SECONDS: u64 = 15;

/// Greatest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where to send: `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    authority: String,
    path: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its body.
    pub text: String,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is no plain `http://` URL.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(Hinted::new(
                "the URL does not begin with http://",
                "send to the server's own address, behind the proxy",
            )
            .into());
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let valid = !authority.starts_with(':')
            && !authority.contains('@')
            && authority.parse::<http::uri::Authority>().is_ok();
        if !valid || format!("/{path}").parse::<http::uri::PathAndQuery>().is_err() {
            return Err(Hinted::new("the URL is not valid", "use http://127.0.0.1:8080/webhooks").into());
        }
        Ok(Self { authority, path: format!("/{path}") })
    }
}

/// Where the server of these settings listens, as seen from this machine: `http://host:port`.
///
/// # Errors
/// When the port is any.
pub fn address(configuration: &Configuration) -> anyhow::Result<String> {
    let mut address = configuration.listen;
    if address.port() == 0 {
        return Err(Hinted::new("the configured port is 0, which means any", "name the server with --url").into());
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Ok(format!("http://{address}"))
}

/// A connection that sends one request after another.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(target: Target) -> anyhow::Result<Self> {
        let deadline = Duration::from_secs(DEADLINE_SECONDS);
        let connected = timeout(deadline, TcpStream::connect(&target.authority)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let message = format!("connect to {}: {error}", target.authority);
                return Err(
                    Hinted::new(message, "start the server with `billhook serve`, or name it with --url").into()
                );
            }
            Err(_) => {
                let message = format!("connect to {}: no answer in {DEADLINE_SECONDS} s", target.authority);
                return Err(Hinted::new(message, "check the address in --url").into());
            }
        };
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("speak HTTP")?;
        // A failure of the connection reaches the request that waits on it.
        tokio::spawn(async { _ = connection.await });
        Ok(Self { target, sender })
    }

    /// Asks with the API key, or tells with a body; waits as long as the server takes.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&mut self, key: &Secret, body: Option<Vec<u8>>) -> anyhow::Result<Answer> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let request = Request::builder()
            .method(method)
            .uri(&self.target.path)
            .header(header::HOST, &self.target.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", key.expose()))
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .context("write the request")?;
        self.exchange(request).await.context("ask the server")
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok(Answer { status, text: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Sends one delivery.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&mut self, signature: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
        let request = Request::post(&self.target.path)
            .header(header::HOST, &self.target.authority)
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
            .header(header::USER_AGENT, "Stripe/1.0 (+billhook events send-test)")
            .header("stripe-signature", signature)
            .body(Full::new(Bytes::from(body)))
            .context("write the request")?;
        match timeout(Duration::from_secs(DEADLINE_SECONDS), self.exchange(request)).await {
            Ok(answer) => answer.context("send the event"),
            Err(_) => anyhow::bail!("send the event: no answer in {DEADLINE_SECONDS} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_plain_http_urls() {
        let target = |url| Target::parse(url).map(|target| (target.authority, target.path)).ok();
        let pair = |authority: &str, path: &str| Some((authority.to_owned(), path.to_owned()));
        assert_eq!(target("http://127.0.0.1:8080/webhooks"), pair("127.0.0.1:8080", "/webhooks"));
        assert_eq!(target("http://[::1]:80/a?b=c"), pair("[::1]:80", "/a?b=c"));
        assert_eq!(target("http://example.com"), pair("example.com:80", "/"));
        for bad in [
            "https://example.com/",
            "example.com",
            "http://",
            "http://:80/",
            "http://a b/",
            "http://u:p@h/",
            "http://h/a b",
        ] {
            assert_eq!(target(bad), None, "{bad}");
        }
    }
}
