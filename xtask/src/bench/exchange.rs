//! One keep-alive connection that sends deliveries and reads answers with as little work as possible.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::signed::SignedEvents;

/// Room for an answer: the webhook endpoint answers with a few headers and a short body.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A connection and the buffers it uses again and again.
pub(super) struct Exchange {
    address: SocketAddr,
    stream: Option<TcpStream>,
    body: Vec<u8>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Exchange {
    /// Not connected yet.
    pub(super) fn new(address: SocketAddr) -> Self {
        let answer = Vec::with_capacity(ANSWER_BYTES_MAX);
        Self { address, stream: None, body: Vec::new(), request: Vec::new(), answer }
    }

    /// Opens the connection ahead of the first request.
    pub(super) async fn connect(&mut self) -> Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await.context("cannot connect")?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Builds the request for an event; nothing is sent yet.
    pub(super) fn prepare(&mut self, events: &SignedEvents, number: u64) {
        let digest = events.write(number, &mut self.body);
        self.request.clear();
        // Writing into a vector cannot fail.
        let _ = write!(
            self.request,
            "POST /webhooks HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json; charset=utf-8\r\n\
             content-length: {}\r\nuser-agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n\
             stripe-signature: t={},v1=",
            self.address,
            self.body.len(),
            events.timestamp(),
        );
        for byte in digest {
            self.request.push(HEX[usize::from(byte >> 4)]);
            self.request.push(HEX[usize::from(byte & 15)]);
        }
        self.request.extend_from_slice(b"\r\n\r\n");
        self.request.extend_from_slice(&self.body);
    }

    /// Sends the prepared request and gives the status of its answer. An error closes the connection.
    pub(super) async fn send(&mut self) -> Result<u16> {
        self.connect().await?;
        let result = self.exchange().await;
        if !matches!(result, Ok((_, true))) {
            self.stream = None;
        }
        result.map(|(status, _)| status)
    }

    async fn exchange(&mut self) -> Result<(u16, bool)> {
        let stream = self.stream.as_mut().context("not connected")?;
        stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            if stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed the connection without an answer");
            }
            if let Some(answer) = complete(&self.answer)? {
                return Ok(answer);
            }
            if self.answer.len() >= ANSWER_BYTES_MAX {
                bail!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
            }
        }
    }
}

/// Status of a complete answer, and whether the connection stays open.
fn complete(answer: &[u8]) -> Result<Option<(u16, bool)>> {
    let Some(head_end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..head_end]).context("an answer that is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).and_then(|code| code.parse().ok());
    let status: u16 = status.context("not an HTTP status line")?;
    let (mut length, mut open) = (None, true);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            open = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    let length = length.context("an answer without content-length")?;
    Ok((answer.len() >= head_end + 4 + length).then_some((status, open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_whole_body() {
        let answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        for end in 0..answer.len() {
            assert_eq!(complete(&answer[..end]).unwrap(), None, "after {end} bytes");
        }
        assert_eq!(complete(answer).unwrap(), Some((503, false)));
        assert_eq!(complete(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap(), Some((200, true)));
        assert!(complete(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
