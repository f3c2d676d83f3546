//! Times as the store writes them, and as others may have written them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};

/// Now.
pub(crate) fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

/// RFC 3339 UTC with milliseconds: the one form the store writes.
pub(crate) fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A stored time. Plain SQL may have left other forms, or nothing: then the oldest time there is.
pub(crate) fn parse(text: &str) -> DateTime<Utc> {
    let utc = |time: NaiveDateTime| time.and_utc();
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|time| time.to_utc()))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(utc))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(utc))
        .or_else(|_| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| utc(date.and_time(chrono::NaiveTime::MIN)))
        })
        .unwrap_or(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_time() {
        for (given, expected) in [
            ("2026-11-23T04:00:00.000Z", "2026-11-23T04:00:00.000Z"),
            ("2026-11-23T04:00:00+02:00", "2026-11-23T02:00:00.000Z"),
            ("2026-11-23 04:00:00.5+00", "2026-11-23T04:00:00.500Z"),
            ("2026-11-23 04:00:00", "2026-11-23T04:00:00.000Z"),
            ("2026-11-23", "2026-11-23T00:00:00.000Z"),
            ("yesterday", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(text(parse(given)), expected, "{given}");
        }
    }
}
