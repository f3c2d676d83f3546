//! Takes a list answer apart element by element, from pieces of any size.
//!
//! `get_partner` without a key answers with every partner of the company in one body; holding it all is not an
//! option. The reader keeps the unfinished element only, hands out each element's bytes as they were sent (their
//! hash tells whether anything changed), and keeps the members around the list as the envelope.

use std::ops::Range;

use super::envelope::Envelope;

/// Largest element or envelope member that is believed to be one.
const MAX_VALUE: usize = 4 * 1024 * 1024;

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// HTML or another markup.
    #[error("the answer is a web page, not JSON")]
    Markup,
    /// Not the JSON expected.
    #[error("the answer is not the expected JSON: {0} at byte {1}")]
    Malformed(&'static str, u64),
    /// The body ended in the middle.
    #[error("the answer ends in the middle, after {0} bytes")]
    Truncated(u64),
    /// One value is beyond all measure.
    #[error("one value of the answer is larger than {} MiB", MAX_VALUE / 1024 / 1024)]
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the opening brace.
    Start,
    /// Between members of the outer object.
    Member,
    /// Inside the list.
    List,
    /// After the closing brace.
    End,
}

/// What one look at the buffer gave.
enum Step {
    /// Nothing complete is left: more must be fed.
    Hungry,
    /// Something was consumed.
    Consumed,
    /// An element lies here.
    Element(Range<usize>),
}

/// The reader of one answer.
pub struct ListReader {
    list: &'static str,
    buffer: Vec<u8>,
    position: usize,
    consumed: u64,
    state: State,
    envelope: Envelope,
}

impl ListReader {
    /// A reader for an answer whose list is the member `list`.
    #[must_use]
    pub fn new(list: &'static str) -> Self {
        Self {
            list,
            buffer: Vec::new(),
            position: 0,
            consumed: 0,
            state: State::Start,
            envelope: Envelope::default(),
        }
    }

    /// Adds the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.position > 0 {
            self.buffer.drain(..self.position);
            self.consumed += self.position as u64;
            self.position = 0;
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The bytes of the next element, or `None` until more is fed.
    ///
    /// # Errors
    ///
    /// When the answer is not an object with such a list.
    pub fn next_element(&mut self) -> Result<Option<&[u8]>, ListError> {
        loop {
            match self.step()? {
                Step::Hungry => return Ok(None),
                Step::Consumed => {}
                Step::Element(range) => return Ok(self.buffer.get(range)),
            }
        }
    }

    /// The members met so far; complete after [`Self::finish`] only.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The members around the list, once the whole answer was fed.
    ///
    /// # Errors
    ///
    /// [`ListError::Truncated`] when the answer is not complete.
    pub fn finish(self) -> Result<Envelope, ListError> {
        if self.state == State::End {
            Ok(self.envelope)
        } else {
            Err(ListError::Truncated(self.consumed + self.buffer.len() as u64))
        }
    }

    fn step(&mut self) -> Result<Step, ListError> {
        let Some(byte) = self.peek() else { return Ok(Step::Hungry) };
        match (self.state, byte) {
            (State::Start, b'{') => self.enter(State::Member),
            (State::Start, b'<') => Err(ListError::Markup),
            // A byte order mark is noise, not content.
            (State::Start, 0xef | 0xbb | 0xbf) if self.consumed + (self.position as u64) < 3 => {
                self.enter(State::Start)
            }
            (State::Start, _) => Err(self.malformed("expected an object")),
            (State::Member | State::List, b',') => self.enter(self.state),
            (State::Member, b'}') => self.enter(State::End),
            (State::Member, b'"') => self.member(),
            (State::Member, _) => Err(self.malformed("expected a member")),
            (State::List, b']') => self.enter(State::Member),
            (State::List, _) => {
                let start = self.position;
                let Some(end) = self.value_end(start)? else { return Ok(Step::Hungry) };
                self.position = end;
                Ok(Step::Element(start..end))
            }
            (State::End, _) => Err(self.malformed("something follows the answer")),
        }
    }

    /// One member of the outer object. The list is entered, everything else goes to the envelope; a bare object in
    /// the place of the list is a list of one.
    fn member(&mut self) -> Result<Step, ListError> {
        let Some(key_end) = self.value_end(self.position)? else { return Ok(Step::Hungry) };
        let Some(colon) = self.skip_blanks(key_end) else { return Ok(Step::Hungry) };
        if self.buffer.get(colon) != Some(&b':') {
            return Err(self.malformed("expected a colon"));
        }
        let Some(start) = self.skip_blanks(colon + 1) else { return Ok(Step::Hungry) };
        let is_list =
            self.buffer.get(self.position + 1..key_end - 1).is_some_and(|key| key == self.list.as_bytes());
        if is_list && self.buffer.get(start) == Some(&b'[') {
            self.position = start;
            self.envelope.found_list();
            return self.enter(State::List);
        }
        let Some(end) = self.value_end(start)? else { return Ok(Step::Hungry) };
        let key = self.buffer.get(self.position..key_end).and_then(|key| serde_json::from_slice(key).ok());
        let value = self.buffer.get(start..end).and_then(|value| serde_json::from_slice(value).ok());
        if is_list && self.buffer.get(start) == Some(&b'{') {
            self.position = end;
            self.envelope.found_list();
            return Ok(Step::Element(start..end));
        }
        let (Some(key), Some(value)) = (key, value) else { return Err(self.malformed("a member is broken")) };
        self.envelope.insert(key, value);
        self.position = end;
        Ok(Step::Consumed)
    }

    fn enter(&mut self, state: State) -> Result<Step, ListError> {
        self.position += 1;
        self.state = state;
        Ok(Step::Consumed)
    }

    /// The next byte that is not a blank.
    fn peek(&mut self) -> Option<u8> {
        self.position = self.skip_blanks(self.position).unwrap_or(self.buffer.len());
        self.buffer.get(self.position).copied()
    }

    fn skip_blanks(&self, from: usize) -> Option<usize> {
        let rest = self.buffer.get(from..)?;
        rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).map(|offset| from + offset)
    }

    /// Where the value that begins at `start` ends, `None` when it is not complete yet.
    fn value_end(&self, start: usize) -> Result<Option<usize>, ListError> {
        let bytes = self.buffer.get(start..).unwrap_or_default();
        let length = match bytes.first() {
            Some(b'{' | b'[' | b'"') => nested_length(bytes),
            _ => bytes
                .iter()
                .position(|byte| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n')),
        };
        if length.unwrap_or(bytes.len()) > MAX_VALUE {
            return Err(ListError::TooLarge);
        }
        Ok(length.map(|length| start + length))
    }

    fn malformed(&self, what: &'static str) -> ListError {
        ListError::Malformed(what, self.consumed + self.position as u64)
    }
}

/// Length of the object, list or string at the front. The hot loop of a scan: it only has to find the end; whether
/// the inside is good JSON is decided where it is parsed.
fn nested_length(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (offset, &byte) in bytes.iter().enumerate() {
        if in_string {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                in_string = false;
                if depth == 0 {
                    return Some(offset + 1);
                }
            }
        } else {
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(offset + 1);
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// All elements and the envelope of an answer that is complete in memory.
///
/// # Errors
///
/// As [`ListReader::next_element`] and [`ListReader::finish`].
pub fn read_all(list: &'static str, body: &[u8]) -> Result<(Vec<Vec<u8>>, Envelope), ListError> {
    let mut reader = ListReader::new(list);
    reader.feed(body);
    let mut elements = Vec::new();
    while let Some(element) = reader.next_element()? {
        elements.push(element.to_vec());
    }
    Ok((elements, reader.finish()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8], piece: usize) -> Result<(Vec<String>, Envelope), ListError> {
        let mut reader = ListReader::new("partner_list");
        let mut elements = Vec::new();
        for piece in body.chunks(piece) {
            reader.feed(piece);
            while let Some(element) = reader.next_element()? {
                elements.push(String::from_utf8_lossy(element).into_owned());
            }
        }
        Ok((elements, reader.finish()?))
    }

    #[test]
    fn answers_of_every_form() {
        let rows: [(&str, Result<&[&str], ListError>); 10] = [
            (
                r#"{"partner_list_count":"2","partner_list":[{"a":"]}"},{"b":[1,{}]}]}"#,
                Ok(&[r#"{"a":"]}"}"#, r#"{"b":[1,{}]}"#]),
            ),
            (
                r#" { "partner_list" : [ { } , {"x":"\"}" } ] , "opr_time_ms" : 7 } "#,
                Ok(&["{ }", r#"{"x":"\"}" }"#]),
            ),
            (r#"{"partner_list":{"a":"1"}}"#, Ok(&[r#"{"a":"1"}"#])),
            (r#"{"opr_code":"2","opr_desc":"No partner with such properties."}"#, Ok(&[])),
            ("\u{feff}{\"partner_list\":[]}", Ok(&[])),
            ("<html><body>503</body></html>", Err(ListError::Markup)),
            ("[]", Err(ListError::Malformed("expected an object", 0))),
            (r#"{"partner_list":[{"a":"1"},{"a":"#, Err(ListError::Truncated(32))),
            (r#"{"partner_list":[{"a":"1"}]"#, Err(ListError::Truncated(27))),
            ("", Err(ListError::Truncated(0))),
        ];
        for (body, expected) in rows {
            for piece in [1, 2, 7, 4096] {
                let got = read(body.as_bytes(), piece).map(|(elements, _)| elements);
                let expected =
                    expected.clone().map(|items| items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
                assert_eq!(got, expected, "{body} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn the_envelope_is_kept() {
        let (_, envelope) = read(br#"{"opr_code":0,"partner_list_count":"3","x":{"y":[1]}}"#, 5).unwrap();
        assert_eq!(envelope.text("opr_code").as_deref(), Some("0"));
        assert_eq!(envelope.text("partner_list_count").as_deref(), Some("3"));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(texts in prop::collection::vec("\\PC{0,12}", 0..6), piece in 1_usize..40) {
            let list: Vec<_> = texts.iter().map(|t| serde_json::json!({"mk_id": "1", "t": t, "n": [{"t": t}]})).collect();
            let body = serde_json::json!({"opr_time_ms": "1", "partner_list": list, "z": texts}).to_string();
            let (elements, _) = read(body.as_bytes(), piece).unwrap();
            let expected: Vec<String> = list.iter().map(ToString::to_string).collect();
            prop_assert_eq!(elements, expected);
        }
    }
}
