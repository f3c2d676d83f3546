//! `settings get|set|list`: every key the harness and the plugin know, with its meaning.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use super::session::Session;
use super::{Failure, Global, Outcome, output};
use crate::plugin::Limits;
use crate::store::{Access, Store, Tenant};

/// Settings of a tenant.
#[derive(Debug, Subcommand)]
pub(crate) enum Settings {
    /// Shows one setting
    Get {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// The key
        key: String,
    },
    /// Changes one setting; `default` removes it
    Set {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
        /// The key
        key: String,
        /// The value
        value: String,
    },
    /// Lists all settings with their meaning
    List {
        /// Name or id of the tenant
        #[arg(long)]
        tenant: String,
    },
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Word(&'static [&'static str]),
    Number {
        least: u64,
        most: u64,
    },
    /// Free text of at most so many characters.
    Text {
        most: usize,
    },
}

/// A key with its meaning.
struct Known {
    key: &'static str,
    shape: Shape,
    default: &'static str,
    meaning: &'static str,
}

const POLICIES: &[&str] = &["metakocka", "crm", "newest", "manual"];
/// The CRM columns that are kept in step, which a policy can name.
const FIELDS: [&str; 11] = [
    "company",
    "full_name",
    "email",
    "phone",
    "street",
    "postal_code",
    "city",
    "province",
    "country",
    "tax_number",
    "registration_number",
];

const KNOWN: &[Known] = &[
    Known {
        key: "contacts.direction",
        shape: Shape::Word(&["from-metakocka", "to-metakocka", "bidirectional"]),
        default: "from-metakocka",
        meaning: "which way contacts travel; nothing is written to Metakocka unless it says so",
    },
    Known {
        key: "contacts.policy",
        shape: Shape::Word(POLICIES),
        default: "metakocka, in both directions newest",
        meaning: "who wins when both sides changed a field; manual parks the field for a person",
    },
    Known {
        key: "contacts.default-country",
        shape: Shape::Text { most: 50 },
        default: "SI",
        meaning: "country of a partner made from a contact that names none: ISO code or name",
    },
    Known {
        key: "contacts.same-company",
        shape: Shape::Word(&["review", "separate"]),
        default: "review",
        meaning: "contacts of one company name without a tax or registration number: ask, or make a partner of each",
    },
    Known {
        key: "contacts.rename",
        shape: Shape::Word(&["review", "send"]),
        default: "review",
        meaning: "another company name in a linked contact whose tax number stays: ask, or rename the partner",
    },
    Known {
        key: "create.settle-seconds",
        shape: Shape::Number { least: 0, most: 86_400 },
        default: "150",
        meaning: "how long a create with an unknown outcome rests before absence in Metakocka means anything",
    },
    Known {
        key: "retry.max-retries",
        shape: Shape::Number { least: 0, most: 20 },
        default: "3",
        meaning: "tries of a read after the first; writes are never tried again",
    },
    Known {
        key: "retry.base-delay-ms",
        shape: Shape::Number { least: 0, most: 600_000 },
        default: "1000",
        meaning: "the first wait between tries",
    },
    Known {
        key: "retry.max-delay-ms",
        shape: Shape::Number { least: 0, most: 3_600_000 },
        default: "10000",
        meaning: "the longest wait between tries",
    },
    Known {
        key: "retry.exponential",
        shape: Shape::Word(&["true", "false"]),
        default: "true",
        meaning: "whether waits double",
    },
    Known {
        key: "limits.guest-cpu-seconds",
        shape: Shape::Number { least: 1, most: 3_600 },
        default: "30",
        meaning: "how long the plugin may compute in one run, waiting not counted",
    },
    Known {
        key: "limits.guest-memory-mib",
        shape: Shape::Number { least: 1, most: 4_096 },
        default: "64",
        meaning: "how much memory the plugin may use",
    },
    Known {
        key: "limits.run-seconds",
        shape: Shape::Number { least: 1, most: 86_400 },
        default: "1800",
        meaning: "how long one run may take, waiting included",
    },
    Known {
        key: "limits.lease-seconds",
        shape: Shape::Number { least: 5, most: 3_600 },
        default: "30",
        meaning: "how long a run that gives no sign of life keeps its tenant from others; it is renewed while the run works",
    },
    Known {
        key: "limits.http-calls",
        shape: Shape::Number { least: 1, most: 100_000_000 },
        default: "1000000",
        meaning: "how many calls to Metakocka one run may make",
    },
    Known {
        key: "limits.host-calls",
        shape: Shape::Number { least: 1, most: 1_000_000_000 },
        default: "20000000",
        meaning: "how often the plugin may call the host in one run",
    },
];

/// Whether this is the policy of one field.
fn is_field_policy(key: &str) -> bool {
    key.strip_prefix("contacts.policy.").is_some_and(|field| FIELDS.contains(&field))
}

fn shape(key: &str) -> Result<Shape, Failure> {
    KNOWN
        .iter()
        .find(|known| known.key == key)
        .map(|known| known.shape)
        .or_else(|| is_field_policy(key).then_some(Shape::Word(POLICIES)))
        .ok_or_else(|| {
            let hint = if key.starts_with("contacts.policy.") {
                format!("fields with a policy are {}", FIELDS.join(", "))
            } else {
                "`host-harness settings list` shows all keys".to_owned()
            };
            Failure::usage(format!("there is no setting {key:?}: {hint}"))
        })
}

fn parse(key: &str, value: &str) -> Result<Value, Failure> {
    match shape(key)? {
        Shape::Word(words) if words.contains(&value) => Ok(json!(value)),
        Shape::Word(words) => {
            Err(Failure::usage(format!("{key} cannot be {value:?}: it is one of {}", words.join(", "))))
        }
        Shape::Text { most } => {
            let text = value.trim();
            if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
                Err(Failure::usage(format!(
                    "{key} cannot be {value:?}: it is a text of 1 to {most} characters"
                )))
            } else {
                Ok(json!(text))
            }
        }
        Shape::Number { least, most } => match value.parse::<u64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(json!(number)),
            _ => Err(Failure::usage(format!(
                "{key} cannot be {value:?}: it is a whole number from {least} to {most}"
            ))),
        },
    }
}

/// A setting as text, if the tenant has it.
pub(crate) async fn text(store: &Store, tenant: &Tenant, key: &str) -> Result<Option<String>, Failure> {
    Ok(store.setting(tenant, key).await?.map(|value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    }))
}

/// Whether every stored setting is one this build knows what to do with: there is no default for what somebody has set.
///
/// # Errors
/// When one is not, or when the store fails.
pub(crate) async fn check(store: &Store, tenant: &Tenant) -> Result<(), Failure> {
    for (key, value) in store.settings(tenant).await? {
        // Keys of a newer build say nothing to this one.
        if shape(&key).is_ok() {
            parse(&key, &plain(value)).map_err(|problem| {
                Failure::failed(format!(
                    "{problem}; set it again: `host-harness settings set --tenant {} {key} VALUE`",
                    tenant.name
                ))
            })?;
        }
    }
    Ok(())
}

/// No lease is shorter.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_secs(5);

/// How long a run's lease holds without being renewed.
pub(crate) async fn lease_length(store: &Store, tenant: &Tenant) -> Result<Duration, Failure> {
    let stored = store.setting(tenant, "limits.lease-seconds").await?.and_then(|value| value.as_u64());
    Ok(stored.map_or(Duration::from_secs(30), Duration::from_secs).max(SHORTEST_LEASE))
}

/// The limits a tenant's runs have.
pub(crate) async fn limits(store: &Store, tenant: &Tenant) -> Result<Limits, Failure> {
    let settings = store.settings(tenant).await?;
    let number =
        |key: &str| settings.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_u64());
    let mut limits = Limits::default();
    for (key, limit) in [
        ("limits.guest-cpu-seconds", &mut limits.guest_cpu_seconds),
        ("limits.guest-memory-mib", &mut limits.guest_memory_mib),
        ("limits.run-seconds", &mut limits.run_seconds),
        ("limits.http-calls", &mut limits.http_calls),
        ("limits.host-calls", &mut limits.host_calls),
    ] {
        *limit = number(key).unwrap_or(*limit);
    }
    Ok(limits)
}

impl Settings {
    pub(crate) async fn run(self, global: &Global) -> Outcome {
        match self {
            Self::Get { tenant, key } => {
                shape(&key)?;
                let session = Session::open(global, Access::Read).await?;
                let tenant = session.tenant(&tenant).await?;
                let value = session.store.setting(&tenant, &key).await?;
                if global.json {
                    output::print_json(&json!({ "key": key, "value": value }));
                } else {
                    output::print_line(format_args!(
                        "{}",
                        value.map_or_else(|| "(default)".to_owned(), plain)
                    ));
                }
            }
            Self::Set { tenant, key, value } => {
                shape(&key)?;
                let parsed = if value == "default" { None } else { Some(parse(&key, &value)?) };
                let session = Session::open(global, Access::Write).await?;
                let tenant = session.tenant(&tenant).await?;
                match &parsed {
                    Some(parsed) => session.store.set_setting(&tenant, &key, parsed).await?,
                    None => session.store.unset_setting(&tenant, &key).await?,
                }
                session.store.close().await;
                if global.json {
                    output::print_json(&json!({ "key": key, "value": parsed }));
                } else {
                    output::print_line(format_args!("{}: {key} = {value}", tenant.name));
                }
            }
            Self::List { tenant } => {
                let session = Session::open(global, Access::Read).await?;
                let tenant = session.tenant(&tenant).await?;
                list(global, session.store.settings(&tenant).await?);
            }
        }
        Ok(())
    }
}

fn list(global: &Global, stored: Vec<(String, Value)>) {
    let value = |key: &str| stored.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let mut rows: Vec<Value> = KNOWN
        .iter()
        .map(|known| {
            json!({ "key": known.key, "value": value(known.key), "default": known.default, "description": known.meaning })
        })
        .collect();
    for field in FIELDS {
        let key = format!("contacts.policy.{field}");
        rows.push(json!({
            "key": key,
            "value": value(&key),
            "default": "as contacts.policy",
            "description": format!("who wins when both sides changed {field}"),
        }));
    }
    if global.json {
        output::print_json(&json!(rows));
    } else {
        output::print_rows(&rows, &["key", "value", "default", "description"], "");
    }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn keys_and_values_that_make_sense() {
        for (key, value, good) in [
            ("contacts.direction", "bidirectional", true),
            ("contacts.direction", "both", false),
            ("contacts.policy.phone", "manual", true),
            ("contacts.policy.shoe_size", "manual", false),
            ("create.settle-seconds", "5", true),
            ("create.settle-seconds", "-5", false),
            ("create.settle-seconds", "soon", false),
            ("limits.guest-memory-mib", "0", false),
            ("limits.colour", "red", false),
        ] {
            assert_eq!(parse(key, value).is_ok(), good, "{key} {value}");
        }
    }
}
