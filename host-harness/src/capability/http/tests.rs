//! Oddities of the network, against a server that does exactly what a test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that reads one request per step and then does what the step says.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
enum Step {
    /// Sends these bytes and keeps the connection for the next step.
    Send(Vec<u8>),
    /// Sends these bytes and closes.
    SendAndClose(Vec<u8>),
    /// Sends these bytes over and over, until the other side goes.
    Flood(&'static [u8]),
    /// Never answers.
    Silence,
}
use Step::{Flood, Send, SendAndClose, Silence};

const SECRET: &str = "5ecret-k3y";

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

async fn serve(steps: Vec<Step>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        let mut steps = steps.into_iter();
        let mut next = steps.next();
        while next.is_some() {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(request) = request(&mut stream).await {
                seen.lock().unwrap().push(request);
                let step = next.take();
                next = steps.next();
                match step {
                    Some(Send(bytes)) => stream.write_all(&bytes).await.unwrap(),
                    Some(SendAndClose(bytes)) => {
                        stream.write_all(&bytes).await.unwrap();
                        break;
                    }
                    Some(Flood(bytes)) => {
                        while stream.write_all(bytes).await.is_ok() {}
                        break;
                    }
                    Some(Silence) => {
                        // Until the other side gives up.
                        while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
                        break;
                    }
                    None => break,
                }
            }
        }
    });
    Server { port, requests }
}

/// One request, head and body, when there is one.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        text.extend_from_slice(&piece[..count]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(whole);
        }
    }
}

impl Server {
    fn http(&self) -> Http {
        self.http_with(TransportOptions::default())
    }

    fn http_with(&self, options: TransportOptions) -> Http {
        let allowed_hosts = AllowedHosts::parse("127.0.0.1").unwrap();
        let transport = Transport::new(TransportOptions { allowed_hosts, ..options }).unwrap();
        let base = format!("http://127.0.0.1:{}/rest/", self.port);
        Http::new(&transport, Connection::new(&base, "16", SECRET).unwrap())
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn ask(lane: Lane) -> Request {
    Request {
        connection: "metakocka".into(),
        path: "v1/get_partner".into(),
        body: br#"{"id":"7"}"#.to_vec(),
        lane,
        timeout_ms: 20_000,
    }
}

async fn read_all(mut body: Body, max: u32) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    loop {
        let piece = body.take(max).read().await.unwrap();
        if piece.is_empty() {
            return pieces;
        }
        pieces.push(piece);
    }
}

#[tokio::test]
async fn a_request_carries_the_credentials_and_the_answer_never_does() {
    let echo = format!("{{\"you\":\"{SECRET}\",\"too\":\"5ecret\\u002dk3y\"}}");
    for lane in [Lane::Point, Lane::Scan] {
        let server =
            serve(vec![Send(answer("200 OK", &format!("Content-Type: text/{SECRET}\r\n"), &echo))]).await;
        let http = server.http();
        let got = http.send(ask(lane)).await.unwrap();
        assert_eq!((got.status, got.call, http.calls()), (200, 1, 1));
        assert_eq!(got.content_type.as_deref(), Some("text/**********"));
        assert_eq!(got.body.length(), echo.len() as u64);
        let body = read_all(got.body, 1 << 20).await.concat();
        assert_eq!(String::from_utf8(body).unwrap(), r#"{"you":"**********","too":"***************"}"#);
        let requests = server.requests();
        assert!(requests[0].starts_with("POST /rest/v1/get_partner HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[0].contains("content-type: application/json\r\n"), "{requests:?}");
        assert!(
            requests[0].ends_with(r#"{"secret_key":"5ecret-k3y","company_id":"16","id":"7"}"#),
            "{requests:?}"
        );
    }
}

#[tokio::test]
async fn pieces_are_exact_whatever_the_network_does() {
    let body = "0123456789".repeat(30_000);
    for lane in [Lane::Point, Lane::Scan] {
        let server = serve(vec![Send(answer("200 OK", "", &body))]).await;
        let mut got = server.http().send(ask(lane)).await.unwrap();
        assert_eq!(got.body.take(7).read().await.unwrap(), b"0123456");
        got.body.rewind();
        let pieces = read_all(got.body, 65_536).await;
        let sizes: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(sizes, [65_536, 65_536, 65_536, 65_536, 37_856]);
        assert_eq!(pieces.concat(), body.as_bytes());
    }
}

#[tokio::test]
async fn every_complete_answer_is_one_and_redirects_are_not_followed() {
    let server = serve(vec![
        Send(answer("302 Found", "Location: http://169.254.169.254/\r\n", "")),
        Send(answer("429 Too Many Requests", "Retry-After: 7\r\n", "slow")),
        Send(answer("500 Internal Server Error", "", "<html>")),
    ])
    .await;
    let http = server.http();
    let statuses = [(302, None), (429, Some(7)), (500, None)];
    for (status, seconds) in statuses {
        let got = http.send(ask(Lane::Point)).await.unwrap();
        assert_eq!((got.status, got.retry_after), (status, seconds.map(Duration::from_secs)));
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_cut_answer_is_an_error_before_anything_of_it_is_seen() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this".to_vec();
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    for (lane, bytes) in
        [(Lane::Point, cut.clone()), (Lane::Scan, cut), (Lane::Point, chunked.clone()), (Lane::Scan, chunked)]
    {
        let server = serve(vec![SendAndClose(bytes)]).await;
        let error = server.http().send(ask(lane)).await.unwrap_err();
        assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::Unavailable, true), "{error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_dies_without_an_answer_is_not_tried_again() {
    let server = serve(vec![SendAndClose(Vec::new()), Send(answer("200 OK", "", "{}"))]).await;
    let http = server.http();
    let error = http.send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::Unavailable, true), "{error:?}");
    assert_eq!(server.requests().len(), 1, "sent once");
    // The same over a connection that has served before.
    let server = serve(vec![
        Send(answer("200 OK", "", "{}")),
        SendAndClose(Vec::new()),
        Send(answer("200 OK", "", "{}")),
    ])
    .await;
    let http = server.http();
    http.send(ask(Lane::Point)).await.unwrap();
    let error = http.send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::Unavailable, true), "{error:?}");
    assert_eq!(server.requests().len(), 2, "sent once each");
}

#[tokio::test]
async fn nobody_there_means_that_nothing_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let server = Server { port, requests: Arc::default() };
    let error = server.http().send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::Unavailable, false), "{error:?}");
}

#[tokio::test]
async fn a_deadline_covers_the_head_and_the_body() {
    for step in [
        Silence,
        Flood(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".to_vec()),
        Send(b"HTTP/1.1 200 OK\r\nX-One: 1\r\n".to_vec()),
    ] {
        let flood = matches!(step, Flood(_));
        let server = serve(vec![step]).await;
        let mut request = ask(Lane::Point);
        request.timeout_ms = 300;
        let result = server.http().send(request).await;
        if flood {
            // The next answer's head is taken for the body of this one: complete, and the rest is ignored.
            assert_eq!(result.unwrap().body.length(), 10);
            continue;
        }
        let error = result.unwrap_err();
        assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::TimedOut, true), "{error:?}");
    }
}

#[tokio::test]
async fn headers_without_end_are_given_up() {
    let server = serve(vec![Flood(b"HTTP/1.1 200 OK\r\nX-Endless: yes\r\nX-")]).await;
    let error = server.http().send(ask(Lane::Point)).await.unwrap_err();
    assert!(error.may_have_arrived, "{error:?}");
}

#[tokio::test]
async fn answers_larger_than_their_lane_are_refused_announced_or_not() {
    let options = TransportOptions { largest_point: 100, largest_scan: 200, ..TransportOptions::default() };
    for (lane, size) in [(Lane::Point, 100), (Lane::Scan, 200)] {
        let fits = "x".repeat(size);
        let large = "x".repeat(size + 1);
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
            size + 1
        );
        let server = serve(vec![
            Send(answer("200 OK", "", &fits)),
            SendAndClose(answer("200 OK", "", &large)),
            SendAndClose(chunked.into()),
        ])
        .await;
        let http = server.http_with(options.clone());
        assert_eq!(http.send(ask(lane)).await.unwrap().body.length(), size as u64);
        for _ in 0..2 {
            let error = http.send(ask(lane)).await.unwrap_err();
            assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::TooLarge, true), "{error:?}");
        }
    }
}

#[tokio::test]
async fn an_encoding_nobody_asked_for_is_refused() {
    let server = serve(vec![Send(answer("200 OK", "Content-Encoding: gzip\r\n", "xxxx"))]).await;
    let error = server.http().send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("gzip"), "{}", error.message);
}

#[tokio::test]
async fn what_breaks_a_rule_never_leaves() {
    let server = serve(vec![]).await;
    let http = server.http();
    type Break = fn(&mut Request);
    let rows: [(&str, Break, ErrorKind); 5] = [
        ("path", |request| request.path = "../x".into(), ErrorKind::RefusedByPolicy),
        ("credentials", |request| request.body = br#"{"company_id":1}"#.to_vec(), ErrorKind::RefusedByPolicy),
        ("not JSON", |request| request.body = b"id=7".to_vec(), ErrorKind::RefusedByPolicy),
        ("large", |request| request.body = vec![b' '; 1 << 20], ErrorKind::RefusedByPolicy),
        ("name", |request| request.connection = "other".into(), ErrorKind::UnknownConnection),
    ];
    for (name, change, kind) in rows {
        let mut request = ask(Lane::Point);
        change(&mut request);
        let error = http.send(request).await.unwrap_err();
        assert_eq!((error.kind, error.may_have_arrived), (kind, false), "{name}: {error:?}");
    }
    let transport = Transport::new(TransportOptions::default()).unwrap();
    let base = format!("http://127.0.0.1:{}/", server.port);
    let refused = Http::new(&transport, Connection::new(&base, "16", SECRET).unwrap());
    let error = refused.send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::RefusedByPolicy, false));
    assert!(error.message.contains("HARNESS_ALLOW_HOSTS=127.0.0.1"), "{}", error.message);
    let base = format!("https://localhost:{}/", server.port);
    let refused = Http::new(&transport, Connection::new(&base, "16", SECRET).unwrap());
    let error = refused.send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::RefusedByPolicy, false), "{error:?}");
    assert!(error.message.contains("HARNESS_ALLOW_HOSTS=localhost"), "{}", error.message);
    assert!(server.requests().is_empty());

    http.allow(0);
    let error = http.send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::OutOfBudget, false));
    assert_eq!(http.calls(), 0);
}

#[tokio::test]
async fn the_breaker_is_shared_by_all_runs_of_a_company() {
    let failing: Vec<Step> = vec![Send(answer("503 Service Unavailable", "", "")); 5];
    let server = serve(failing).await;
    let allowed_hosts = AllowedHosts::parse("127.0.0.1").unwrap();
    let transport =
        Transport::new(TransportOptions { allowed_hosts, ..TransportOptions::default() }).unwrap();
    let base = format!("http://127.0.0.1:{}/", server.port);
    let run = |company: &str| Http::new(&transport, Connection::new(&base, company, SECRET).unwrap());
    for _ in 0..5 {
        assert_eq!(run("16").send(ask(Lane::Point)).await.unwrap().status, 503);
    }
    let error = run("16").send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!((error.kind, error.may_have_arrived), (ErrorKind::Unavailable, false));
    assert!(error.retry_after_ms.is_some_and(|wait| wait > 50_000 && wait <= 60_000), "{error:?}");
    assert_eq!(server.requests().len(), 5);
    // Another company of the same installation is not affected: it gets as far as the server, which is done.
    let error = run("17").send(ask(Lane::Point)).await.unwrap_err();
    assert_eq!(error.retry_after_ms, None, "{error:?}");
}

#[tokio::test]
async fn progress_of_a_scan_is_told() {
    let body = "x".repeat(100_000);
    let server = serve(vec![Send(answer("200 OK", "", &body))]).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    let http = server.http().watched(Arc::new(move |transfer| sink.lock().unwrap().push(transfer)));
    http.send(ask(Lane::Scan)).await.unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.last(), Some(&Transfer { call: 1, received: 100_000, total: Some(100_000) }));
}

#[tokio::test]
async fn a_dropped_call_frees_its_place() {
    let server = serve(vec![Silence, Send(answer("200 OK", "", "{}"))]).await;
    let http = server.http();
    // Both places taken by a scan that is dropped again: without freeing, the second scan would wait for ever.
    let scan = http.send(ask(Lane::Scan));
    assert!(tokio::time::timeout(Duration::from_millis(200), scan).await.is_err());
    assert_eq!(http.send(ask(Lane::Scan)).await.unwrap().status, 200);
}
