//! Sends deliveries over plain HTTP/1.1, on connections that stay open.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Most of an answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

type Connection = SendRequest<Full<Bytes>>;

/// Idle connections by authority.
#[derive(Debug, Default)]
pub(super) struct Client {
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

impl Client {
    /// Posts a delivery and returns the status of the answer.
    ///
    /// # Errors
    /// When the address is no `http://` one, or the connection fails.
    pub(super) async fn post(&self, url: &str, signature: &str, body: Bytes) -> anyhow::Result<u16> {
        let uri: Uri = url.parse().context("the endpoint's URL cannot be read")?;
        if uri.scheme_str() != Some("http") {
            bail!("the simulator delivers over plain HTTP only");
        }
        let authority = uri.authority().context("the endpoint's URL has no host")?.to_string();
        let request = || {
            Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
                .header(HOST, &authority)
                .header(CONTENT_TYPE, "application/json; charset=utf-8")
                .header(USER_AGENT, "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
                .header("stripe-signature", signature)
                .body(Full::new(body.clone()))
        };
        // A kept connection may have been closed meanwhile, before the request was taken: then a new one is made.
        while let Some(mut connection) = self.take(&authority) {
            if connection.ready().await.is_err() {
                continue;
            }
            match connection.try_send_request(request()?).await {
                Ok(answer) => return self.finish(&authority, connection, answer).await,
                Err(mut error) => {
                    if error.take_message().is_none() {
                        return Err(error.into_error().into());
                    }
                }
            }
        }
        let mut connection = connect(&authority).await?;
        let answer = connection.send_request(request()?).await?;
        self.finish(&authority, connection, answer).await
    }

    async fn finish(
        &self,
        authority: &str,
        connection: Connection,
        answer: http::Response<hyper::body::Incoming>,
    ) -> anyhow::Result<u16> {
        let status = answer.status().as_u16();
        if Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.is_ok() && !connection.is_closed() {
            self.lock().entry(authority.to_owned()).or_default().push(connection);
        }
        Ok(status)
    }

    fn take(&self, authority: &str) -> Option<Connection> {
        self.lock().get_mut(authority)?.pop()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(authority: &str) -> anyhow::Result<Connection> {
    let address = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let tcp = TcpStream::connect(address).await?;
    let _ = tcp.set_nodelay(true);
    let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
