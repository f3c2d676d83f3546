//! A client small enough to see every byte, because broken connections are what is tested.

use metakocka_sandbox::{Running, Switches};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back before the connection ended or the announced length was reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 0 when there was not even a head.
    pub status: u16,
    pub head: String,
    pub announced: usize,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn whole(&self) -> bool {
        self.status != 0 && self.body.len() == self.announced
    }
}

/// One connection, kept open from request to request.
pub struct Client {
    stream: TcpStream,
    host: String,
}

impl Client {
    pub async fn to(url: &str) -> Self {
        let host = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let stream = TcpStream::connect(&host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host }
    }

    pub async fn send(&mut self, verb: &str, path: &str, body: &str) -> Answer {
        let request = format!(
            "{verb} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        // Nothing here takes seconds; a hang must fail and not block.
        tokio::time::timeout(Duration::from_secs(20), self.exchange(&request))
            .await
            .expect("an answer in time")
    }

    async fn exchange(&mut self, request: &str) -> Answer {
        let mut answer = Answer::default();
        if self.stream.write_all(request.as_bytes()).await.is_err() {
            return answer;
        }
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            // An end and a reset are the same to whoever waits for an answer.
            if self.stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return answer;
            }
        };
        answer.body = read.split_off(head);
        answer.head = String::from_utf8(read).unwrap().to_lowercase();
        answer.status = answer.head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = answer.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        answer.announced = length.expect("a content-length").parse().unwrap();
        answer.body.reserve(answer.announced);
        while answer.body.len() < answer.announced {
            if self.stream.read_buf(&mut answer.body).await.unwrap_or(0) == 0 {
                break;
            }
        }
        answer
    }
}

/// With these a partner can be as short as its test.
pub fn short_partners() -> Switches {
    let mut switches = Switches::default();
    switches.set_pair("address-members=optional").unwrap();
    switches
}

/// A vendor call on a connection of its own.
pub async fn call(running: &Running, endpoint: &str, body: Value) -> Answer {
    Client::to(&running.base_url).await.call(running, endpoint, body).await
}

/// A request at the control door.
pub async fn control(running: &Running, verb: &str, path: &str, body: Value) -> Answer {
    let body = if verb == "GET" { String::new() } else { body.to_string() };
    Client::to(&running.control_url).await.send(verb, path, &body).await
}

pub async fn rules(running: &Running, rules: Value) {
    let answer = control(running, "POST", "/faults", rules).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

pub async fn partners(running: &Running) -> usize {
    let state = control(running, "GET", "/state", json!(null)).await.json();
    state["partners"].as_array().unwrap().len()
}

impl Client {
    pub async fn call(&mut self, running: &Running, endpoint: &str, mut body: Value) -> Answer {
        body["company_id"] = json!(running.company_id);
        body["secret_key"] = json!(running.secret_key);
        let path = running.base_url.splitn(4, '/').nth(3).unwrap();
        self.send("POST", &format!("/{path}{endpoint}"), &body.to_string()).await
    }
}
