//! What was asked and what was answered, for whoever checks from outside. Credentials never leave it.

use crate::body::Body;
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bodies above this are shown as their length and hash.
const SHOWN: usize = 64 * 1024;
/// The oldest entries go when there are more, in number or in bytes.
const ENTRIES: usize = 200_000;
const BYTES: usize = 256 * 1024 * 1024;
/// So many different large answers wait for somebody to ask for their hash, which costs; the next one makes
/// the oldest be hashed, because waiting keeps the answer in memory.
const UNHASHED: usize = 4;

/// One request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    n: u64,
    path: String,
    status: u16,
    write: bool,
    in_flight: usize,
    request: Shown,
    response: Option<Shown>,
}

#[derive(Debug, Clone)]
enum Shown {
    Small(Bytes),
    Large(Arc<Large>),
}

#[derive(Debug)]
struct Large {
    length: usize,
    digest: Mutex<Digested>,
}

#[derive(Debug)]
enum Digested {
    Not(Arc<Body>),
    Known(String),
}

impl Large {
    fn digest(&self) -> String {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Digested::Not(body) = &*digest {
            *digest = Digested::Known(body.digest().to_owned());
        }
        match &*digest {
            Digested::Known(hex) => hex.clone(),
            Digested::Not(_) => String::new(),
        }
    }

    fn waits_for(&self, body: &Arc<Body>) -> bool {
        let digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(&*digest, Digested::Not(waiting) if Arc::ptr_eq(waiting, body))
    }
}

/// The requests in the order in which they were decided.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    bytes: usize,
    last: u64,
    unhashed: VecDeque<Arc<Large>>,
}

/// What is known of a request when it is written down.
#[derive(Debug)]
pub(crate) struct Note<'a> {
    pub(crate) path: &'a str,
    pub(crate) write: bool,
    pub(crate) in_flight: usize,
    pub(crate) request: &'a Bytes,
    /// 0 when the connection was dropped.
    pub(crate) status: u16,
    /// The answer and how many bytes of it are sent.
    pub(crate) response: Option<(&'a Arc<Body>, usize)>,
}

impl Journal {
    /// Writes a request down.
    pub(crate) fn note(&mut self, note: Note<'_>) {
        self.last += 1;
        let request = if note.request.len() > SHOWN {
            let digest = Mutex::new(Digested::Known(hex::encode(Sha256::digest(note.request))));
            Shown::Large(Arc::new(Large { length: note.request.len(), digest }))
        } else {
            Shown::Small(note.request.clone())
        };
        let response = note.response.map(|(body, sent)| self.shown(body, sent));
        let entry = Entry {
            n: self.last,
            path: note.path.to_owned(),
            status: note.status,
            write: note.write,
            in_flight: note.in_flight,
            request,
            response,
        };
        self.bytes += entry.weight();
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES || self.bytes > BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.weight();
        }
    }

    fn shown(&mut self, body: &Arc<Body>, sent: usize) -> Shown {
        let length = body.len().min(sent);
        if length <= SHOWN {
            return Shown::Small(body.read(length));
        }
        if length < body.len() {
            let digest = Mutex::new(Digested::Known(hex::encode(Sha256::digest(body.read(length)))));
            return Shown::Large(Arc::new(Large { length, digest }));
        }
        if let Some(same) = self.unhashed.iter().find(|large| large.waits_for(body)) {
            return Shown::Large(same.clone());
        }
        let large = Arc::new(Large { length, digest: Mutex::new(Digested::Not(body.clone())) });
        self.unhashed.push_back(large.clone());
        if self.unhashed.len() > UNHASHED
            && let Some(oldest) = self.unhashed.pop_front()
        {
            oldest.digest();
        }
        Shown::Large(large)
    }

    /// The entries after number `n`.
    pub(crate) fn since(&self, n: u64) -> Vec<Entry> {
        let first = self.entries.partition_point(|entry| entry.n <= n);
        self.entries.iter().skip(first).cloned().collect()
    }
}

impl Entry {
    fn weight(&self) -> usize {
        let shown = |shown: &Shown| match shown {
            Shown::Small(bytes) => bytes.len(),
            Shown::Large(_) => 64,
        };
        self.path.len() + shown(&self.request) + self.response.as_ref().map_or(0, shown) + 128
    }

    /// The entry as it is shown, without credentials.
    pub(crate) fn to_json(&self, secret: &Secret) -> Value {
        json!({
            "n": self.n,
            "path": secret.scrub(self.path.clone()),
            "status": self.status,
            "write": self.write,
            "in_flight": self.in_flight,
            "request": self.request.to_json(secret),
            "response": self.response.as_ref().map(|response| response.to_json(secret)),
        })
    }
}

impl Shown {
    fn to_json(&self, secret: &Secret) -> Value {
        match self {
            Shown::Large(large) => json!({"length": large.length, "sha256": large.digest()}),
            Shown::Small(bytes) => {
                let mut value = serde_json::from_slice(bytes)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()));
                if let Value::Object(map) = &mut value {
                    map.remove("secret_key");
                    map.remove("company_id");
                }
                secret.scrub_all(value)
            }
        }
    }
}

/// The secret in the forms in which a text can hold it: as it is, as JSON writes it, and all in escapes.
#[derive(Debug)]
pub(crate) struct Secret(Vec<String>);

impl Secret {
    pub(crate) fn new(secret: &str) -> Self {
        let quoted = Value::from(secret).to_string();
        let escaped = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        let mut forms = vec![secret.to_owned(), escaped.to_owned(), all_escaped(secret)];
        forms.retain(|form| !form.is_empty());
        forms.dedup();
        Self(forms)
    }

    fn scrub(&self, text: String) -> String {
        self.0.iter().fold(text, |text, form| {
            if memmem::find(text.as_bytes(), form.as_bytes()).is_some() {
                text.replace(form, "[removed]")
            } else {
                text
            }
        })
    }

    fn scrub_all(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.scrub(text)),
            Value::Array(list) => list.into_iter().map(|value| self.scrub_all(value)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| (self.scrub(key), self.scrub_all(value)))
                .collect::<Map<_, _>>()
                .into(),
            other => other,
        }
    }
}

/// A text with every letter as a JSON escape.
pub(crate) fn all_escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(journal: &mut Journal, request: &str, body: &Arc<Body>) {
        let request = Bytes::copy_from_slice(request.as_bytes());
        let response = Some((body, usize::MAX));
        journal.note(Note {
            path: "p",
            write: false,
            in_flight: 1,
            request: &request,
            status: 200,
            response,
        });
    }

    #[test]
    fn credentials_are_removed_wherever_they_stand() {
        let mut journal = Journal::default();
        let answer = Body::whole(r#"{"opr_desc":"key s\"3cret \u0073\"3cret"}"#);
        note(&mut journal, r#"{"secret_key":"s\"3cret","company_id":"16","q":"xs\"3crety"}"#, &answer);
        note(&mut journal, r#"not json s"3cret s\"3cret"#, &answer);
        let shown: Vec<Value> =
            journal.since(0).iter().map(|entry| entry.to_json(&Secret::new("s\"3cret"))).collect();
        assert_eq!(shown[0]["request"], json!({"q": "x[removed]y"}));
        assert_eq!(shown[0]["response"], json!({"opr_desc": "key [removed] [removed]"}));
        assert_eq!(shown[1]["request"], json!("not json [removed] [removed]"));
    }

    #[test]
    fn since_answers_what_came_after() {
        let mut journal = Journal::default();
        let body = Body::whole("{}");
        (0..3).for_each(|_| note(&mut journal, "{}", &body));
        let numbers: Vec<u64> = journal.since(1).iter().map(|entry| entry.n).collect();
        assert_eq!(numbers, [2, 3]);
    }

    #[test]
    fn large_answers_are_a_length_and_a_hash_and_do_not_pile_up() {
        let mut journal = Journal::default();
        let bodies: Vec<_> = (0..10).map(|n| Body::whole(n.to_string().repeat(SHOWN + 1))).collect();
        for body in &bodies {
            note(&mut journal, "{}", body);
            note(&mut journal, "{}", body);
        }
        assert_eq!(journal.unhashed.len(), UNHASHED);
        assert_eq!(Arc::strong_count(&bodies[0]), 1);
        let entries = journal.since(0);
        let response = &entries[2].to_json(&Secret::new(""))["response"];
        assert_eq!(response["length"], SHOWN + 1);
        assert_eq!(response["sha256"], hex::encode(Sha256::digest("1".repeat(SHOWN + 1))));
    }
}
