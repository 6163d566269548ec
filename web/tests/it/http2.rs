//! HTTP/2 with prior knowledge, in raw frames.

use billhook_web::Limits;

use crate::harness::{Client, GOOD, Server, until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;
const REFUSED_STREAM: u32 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block without compression: method and scheme from the static table, everything else literal.
fn block(method: u8, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let literal = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let mut block = vec![method, 0x86, 0x04];
    block.extend(literal(path));
    for (name, value) in headers {
        block.push(0);
        block.extend(literal(name));
        block.extend(literal(value));
    }
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn signed() -> Vec<u8> {
    block(POST, "/webhooks", &[("stripe-signature", GOOD)])
}

async fn connect(server: &Server, settings: &[u8]) -> Client {
    let mut client = server.connect().await;
    client.send([PREFACE, &frame(SETTINGS, 0, 0, settings), &frame(SETTINGS, ACK, 0, &[])].concat()).await;
    client
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The next frame; `None` when the connection has ended.
async fn next(client: &mut Client) -> Option<Frame> {
    let head = client.read_exact(9).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let payload = client.read_exact(length as usize).await?;
    Some(Frame { kind: head[3], flags: head[4], stream, payload })
}

/// Reads until the server has ended the connection or announced that it will.
async fn until_refused(client: &mut Client) {
    while let Some(frame) = next(client).await {
        if frame.kind == GOAWAY {
            return;
        }
    }
}

/// The first byte of a header block tells the status when it is in the static table: 200, 400, 404.
async fn answer(client: &mut Client, stream: u32) -> (u8, String) {
    let mut status = 0;
    let mut body = Vec::new();
    loop {
        let frame = next(client).await.expect("an answer");
        if frame.stream != stream {
            continue;
        }
        match frame.kind {
            HEADERS => status = frame.payload[0],
            DATA => body.extend(frame.payload),
            _ => {}
        }
        if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
            return (status, String::from_utf8(body).unwrap());
        }
    }
}

const STATUS_200: u8 = 0x88;

#[tokio::test]
async fn many_deliveries_share_one_connection() {
    let server = Server::start(Limits::default()).await;
    let mut client = connect(&server, &[]).await;
    for number in 0..10_u32 {
        let stream = number * 2 + 1;
        client.send(frame(HEADERS, END_HEADERS, stream, &signed())).await;
        client.send(frame(DATA, END_STREAM, stream, b"{}")).await;
        assert_eq!(answer(&mut client, stream).await, (STATUS_200, "{\"received\":true}".to_owned()));
    }
    assert_eq!(server.received().len(), 10);
}

#[tokio::test]
async fn an_oversized_delivery_ends_its_stream_and_not_the_connection() {
    let server = Server::start(Limits { body_bytes_max: 1_000, ..Limits::default() }).await;
    let mut client = connect(&server, &[]).await;
    client.send(frame(HEADERS, END_HEADERS, 1, &signed())).await;
    client.send(frame(DATA, 0, 1, &[b'x'; 1_001])).await;
    assert_eq!(answer(&mut client, 1).await.1, "Payload Too Large");
    client.send(frame(HEADERS, END_HEADERS, 3, &signed())).await;
    client.send(frame(DATA, END_STREAM, 3, b"{}")).await;
    assert_eq!(answer(&mut client, 3).await.0, STATUS_200);
}

#[tokio::test]
async fn rapid_reset_ends_the_connection() {
    let server = Server::start(Limits::default()).await;
    let mut client = connect(&server, &[]).await;
    let attack: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| {
            let stream = number * 2 + 1;
            let mut frames = frame(HEADERS, END_HEADERS, stream, &signed());
            frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            frames
        })
        .collect();
    // The server may end the connection before it has taken everything.
    let _ = client.try_send(&attack).await;
    until_refused(&mut client).await;
    drop(client);
    until("the connection is gone", || server.connections() == 0).await;
    assert!(server.received().is_empty());
    server.assert_alive().await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let server = Server::start(Limits { http2_streams_max: 10, ..Limits::default() }).await;
    let mut client = connect(&server, &[]).await;
    for number in 0..11_u32 {
        client.send(frame(HEADERS, END_HEADERS, number * 2 + 1, &signed())).await;
    }
    loop {
        let frame = next(&mut client).await.expect("a refusal");
        if frame.kind == RST_STREAM {
            assert_eq!((frame.stream, frame.payload), (21, REFUSED_STREAM.to_be_bytes().to_vec()));
            break;
        }
    }
}

#[tokio::test]
async fn a_header_block_without_end_is_cut() {
    let server = Server::start(Limits { header_deadline_ms: 1_000, ..Limits::default() }).await;
    let mut client = connect(&server, &[]).await;
    client.send(frame(HEADERS, 0, 1, &signed())).await;
    let more = frame(CONTINUATION, 0, 1, &block(GET, "/", &[("x", &"y".repeat(100))])[3..]);
    let flood = async { while client.try_send(&more).await.is_ok() {} };
    crate::harness::within("the server gives up", flood).await;
    server.assert_alive().await;
}

#[tokio::test]
async fn a_client_that_lets_no_answer_through_is_cut() {
    let limits = Limits { busy_deadline_ms: 200, shutdown_deadline_ms: 200, ..Limits::default() };
    let server = Server::start(limits).await;
    let no_window = [&SETTINGS_INITIAL_WINDOW_SIZE.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    let mut client = connect(&server, &no_window).await;
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(GET, "/healthz", &[]))).await;
    while next(&mut client).await.is_some() {}
    until("the connection is gone", || server.connections() == 0).await;
}

#[tokio::test]
async fn a_silent_client_is_cut() {
    let server = Server::start(Limits { header_deadline_ms: 200, ..Limits::default() }).await;
    let mut client = connect(&server, &[]).await;
    while next(&mut client).await.is_some() {}
}
