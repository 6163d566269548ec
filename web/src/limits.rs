//! What a client may use up.

/// The bounds of the HTTP server. Each one answers a way of hurting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. At the limit a new connection takes the place of the one that has waited longest for its client;
    /// while all are busy with requests, new ones wait in the system's queue. So slow clients cannot shut out others, and
    /// nobody with a request under way is sent off. Keep it about 100 below the process's limit of open files
    /// (`ulimit -n`), which the database shares.
    pub connections_max: usize,
    /// Open connections of one client address (of one /64 network for IPv6); more are closed at once. `None` behind a
    /// reverse proxy, whose address is every client's address.
    pub connections_per_address_max: Option<usize>,
    /// Request line and headers together, in bytes; more is answered 431. At least 8,192.
    pub header_bytes_max: usize,
    /// Number of headers of a request over HTTP/1; more is answered 431.
    pub headers_max: usize,
    /// From the first byte of a request to the end of its headers, in milliseconds, and from connecting to the first
    /// request. Then the connection is cut.
    pub header_deadline_ms: u64,
    /// How long a connection may stay open between requests, in milliseconds. Stripe and proxies reuse connections; closing
    /// too early costs them a handshake.
    pub idle_deadline_ms: u64,
    /// From the headers to the end of the body, in milliseconds; later is answered 408.
    pub body_deadline_ms: u64,
    /// Body of one request, in bytes; more is answered 413. Stripe's deliveries are far smaller than the default of 1 MiB.
    pub body_bytes_max: usize,
    /// Bodies of all requests in progress together, in bytes; more is answered 503. Bounds the memory that many large bodies
    /// at once can take, which no limit of one request does.
    pub bodies_bytes_max: usize,
    /// From the end of the body to the answer, in milliseconds; later is answered 503.
    pub request_deadline_ms: u64,
    /// How long a client may take to read what the server has to write, in milliseconds, counted from the moment the socket
    /// is full until it has taken everything. Then the connection is cut.
    pub write_deadline_ms: u64,
    /// How long a connection may be busy without a single moment free of requests, in milliseconds. Then it finishes what it
    /// has and is closed. Ends HTTP/2 connections whose client never lets its answers through.
    pub busy_deadline_ms: u64,
    /// How long the server goes on reading from a connection it has closed for writing, in milliseconds, and how long it waits
    /// for an HTTP/2 client that was told of the end. Without this a client that is still sending would lose the answer that
    /// tells it to stop.
    pub linger_deadline_ms: u64,
    /// Simultaneous requests on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// HTTP/2 requests that a client has reset before the server took them up; more ends the connection (rapid reset).
    pub http2_pending_resets_max: usize,
    /// HTTP/2 requests that the server had to reset for the client's errors; more ends the connection.
    pub http2_error_resets_max: usize,
    /// How long connections may finish after the server was told to stop, in milliseconds. Then they are cut.
    pub shutdown_deadline_ms: u64,
}

/// One kibibyte.
const KIB: usize = 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 2_000,
            connections_per_address_max: None,
            header_bytes_max: 16 * KIB,
            headers_max: 100,
            header_deadline_ms: 10_000,
            idle_deadline_ms: 75_000,
            body_deadline_ms: 10_000,
            body_bytes_max: KIB * KIB,
            bodies_bytes_max: 64 * KIB * KIB,
            request_deadline_ms: 15_000,
            write_deadline_ms: 10_000,
            busy_deadline_ms: 60_000,
            linger_deadline_ms: 1_000,
            http2_streams_max: 100,
            http2_pending_resets_max: 20,
            http2_error_resets_max: 100,
            shutdown_deadline_ms: 10_000,
        }
    }
}
