//! A small blocking HTTP/1.1 client that keeps its connection open and does nothing on its own: no retry, no redirect.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::events::Event;
use crate::sign::{now, sign};

/// Longest wait for a connection, for a write and for each read, in seconds.
const ANSWER_SECONDS_MAX: u64 = 30;
/// Largest body that is read, in bytes.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Path of the webhook endpoint.
pub const WEBHOOK_PATH: &str = "/webhooks";

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// First header of this name, which is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection at a time to one server.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    limit: Duration,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of the server at `address`; it connects with the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, limit: Duration::from_secs(ANSWER_SECONDS_MAX), connection: None }
    }

    /// Changes how long a connection, a write and each read may take.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// `GET`.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn get(&mut self, path: &str) -> anyhow::Result<Response> {
        self.request("GET", path, &[], b"")
    }

    /// `POST`.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> anyhow::Result<Response> {
        self.request("POST", path, headers, body)
    }

    /// Delivers an event as Stripe does, signed now.
    ///
    /// # Errors
    /// When no complete answer arrives: whether the delivery is stored is then unknown.
    pub fn deliver(&mut self, secret: &str, event: &Event) -> anyhow::Result<Response> {
        self.deliver_body(secret, &event.body)
    }

    /// Delivers any body, signed now.
    ///
    /// # Errors
    /// When no complete answer arrives: whether the delivery is stored is then unknown.
    pub fn deliver_body(&mut self, secret: &str, body: &[u8]) -> anyhow::Result<Response> {
        let signature = sign(secret, now(), body);
        let headers = [("content-type", "application/json; charset=utf-8"), ("stripe-signature", signature.as_str())];
        self.post(WEBHOOK_PATH, &headers, body)
    }

    /// Any request. An error closes the connection; the next request opens another.
    ///
    /// # Errors
    /// When no complete answer arrives.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address).into_bytes();
        for (name, value) in headers {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        request.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(body);
        // A server may answer before it has read everything (413) and close; its answer counts, not the failed write.
        let written = connection.get_mut().write_all(&request);
        let (response, reusable) = match read_response(&mut connection, method) {
            Ok(read) => read,
            Err(error) => return Err(written.err().map_or(error, anyhow::Error::from)),
        };
        if reusable && written.is_ok() {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    fn connect(&self) -> anyhow::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, self.limit)
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.limit))?;
        stream.set_write_timeout(Some(self.limit))?;
        Ok(BufReader::new(stream))
    }
}

/// Reads one answer; the flag says whether the connection can carry another request.
fn read_response(reader: &mut BufReader<TcpStream>, method: &str) -> anyhow::Result<(Response, bool)> {
    let line = read_line(reader)?;
    let status: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).context("not an HTTP status line")?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').context("not an HTTP header")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut response = Response { status, headers, body: Vec::new() };
    if status == 100 {
        return read_response(reader, method);
    }
    let mut reusable = response.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok((response, reusable));
    }
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        response.body = read_chunks(reader)?;
    } else if let Some(length) = response.header("content-length") {
        let length: u64 = length.parse().context("content-length is not a number")?;
        response.body = read_exactly(reader, length)?;
    } else {
        reader.take(BODY_BYTES_MAX).read_to_end(&mut response.body)?;
        reusable = false;
    }
    Ok((response, reusable))
}

fn read_line(reader: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        bail!("the server closed the connection without an answer");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_exactly(reader: &mut BufReader<TcpStream>, length: u64) -> anyhow::Result<Vec<u8>> {
    if length > BODY_BYTES_MAX {
        bail!("the answer has {length} bytes");
    }
    let mut body = vec![0; length as usize];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?;
        let length = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
        if length == 0 {
            while !read_line(reader)?.is_empty() {}
            return Ok(body);
        }
        body.extend(read_exactly(reader, length)?);
        read_line(reader)?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers each connection's requests with the given texts.
    fn serve(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            for answer in answers {
                assert!(stream.read(&mut buffer).unwrap() > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn one_connection_carries_several_answers_of_every_kind() {
        let mut client = Client::new(serve(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 503 No\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            "HTTP/1.1 400 No\r\n\r\nrest",
        ]));
        assert_eq!(client.get("/").unwrap().text(), "ok");
        let second = client.post("/", &[("a", "b")], b"body").unwrap();
        assert_eq!((second.status, second.header("retry-after"), second.text().as_str()), (503, Some("3"), "abcd"));
        assert_eq!(client.get("/").unwrap().text(), "rest");
        assert!(client.get("/").is_err(), "the server takes one connection only");
    }
}
