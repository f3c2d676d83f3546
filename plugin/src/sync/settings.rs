//! The tenant's settings, as far as a run needs them.

use std::collections::BTreeMap;

use super::merge::{Policies, Policy};
use super::request::settings;
use crate::metakocka::client::Retry;
use crate::model::{Field, country};
use crate::ports::{Powers, StorageError};

/// The settings of a run.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether another company name in a linked contact is sent without asking.
    pub send_renames: bool,
    /// Whether contacts of one company name without a number become a partner each.
    pub separate_companies: bool,
    /// How contested fields are settled.
    pub policies: Policies,
    /// How reads are tried again.
    pub retry: Retry,
    /// How long an unclear create must rest before absence means anything.
    pub settle_ms: Option<u64>,
    /// The country a partner is created with when its contact names none.
    pub default_country: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Storage.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// A value this build does not know.
    #[error(
        "the setting {key} is {value:?}, which this build does not know: set it again, or to its default"
    )]
    Unknown {
        /// The key.
        key: String,
        /// What stands there.
        value: String,
    },
}

/// Where the companies are whose ERP this is.
const HOME: &str = "SI";

/// Write timeout plus 30 seconds: until then a request may still be running over there.
const DEFAULT_SETTLE_MS: u64 = 150_000;

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// When storage fails, or when a value makes no sense to this build: there is no default for what somebody has set.
    pub async fn read(powers: Powers<'_>) -> Result<Self, SettingsError> {
        let mut keys: Vec<String> = [
            "contacts.policy",
            "contacts.rename",
            "contacts.same-company",
            "contacts.default-country",
            "create.settle-seconds",
            "retry.max-retries",
            "retry.base-delay-ms",
            "retry.max-delay-ms",
            "retry.exponential",
        ]
        .map(str::to_owned)
        .to_vec();
        keys.extend(Field::ALL.iter().map(|field| format!("contacts.policy.{field}")));
        let values = settings(powers, &keys).await?;
        let number = |key| known(&values, key, |text| text.parse::<u64>().ok());
        let word = |key, no, yes| {
            known(&values, key, |text| if text == yes { Some(true) } else { (text == no).then_some(false) })
        };
        let mut retry = Retry::default();
        if let Some(value) = number("retry.max-retries")? {
            retry.max_retries = u32::try_from(value).unwrap_or(u32::MAX);
        }
        retry.base_delay_ms = number("retry.base-delay-ms")?.unwrap_or(retry.base_delay_ms);
        retry.max_delay_ms = number("retry.max-delay-ms")?.unwrap_or(retry.max_delay_ms);
        retry.exponential = word("retry.exponential", "false", "true")?.unwrap_or(retry.exponential);
        let is_country = |text: &str| country::code(text).map(|_| text.trim().to_owned());
        Ok(Self {
            send_renames: word("contacts.rename", "review", "send")?.unwrap_or_default(),
            separate_companies: word("contacts.same-company", "review", "separate")?.unwrap_or_default(),
            default_country: known(&values, "contacts.default-country", is_country)?,
            policies: policies(&values)?,
            retry,
            settle_ms: number("create.settle-seconds")?.map(|seconds| seconds.saturating_mul(1_000)),
        })
    }

    /// The country of contacts that name none: the vendor asks for one (`add_partner.md`), and leaving it out means at home.
    #[must_use]
    pub fn home(&self) -> &str {
        self.default_country.as_deref().unwrap_or(HOME)
    }

    /// How long an unclear write must rest, milliseconds.
    #[must_use]
    pub fn settle(&self) -> u64 {
        self.settle_ms.unwrap_or(DEFAULT_SETTLE_MS)
    }

    /// How long a claim holds before its request is sent, milliseconds: a request that leaves within it is over before
    /// another run may take it for lost.
    #[must_use]
    pub fn claim_holds(&self) -> u64 {
        (self.settle() / 5).max(200)
    }

    /// How far two empty look-ups must lie apart: 10 s, and a tenth of that where settling takes less than 30 s.
    #[must_use]
    pub fn between_looks(&self) -> u64 {
        if self.settle() < 30_000 { 1_000 } else { 10_000 }
    }
}

/// A setting as this build understands it; `None` when it is not set.
fn known<T>(
    values: &BTreeMap<String, String>,
    key: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, SettingsError> {
    let Some(text) = values.get(key) else { return Ok(None) };
    read(text).map(Some).ok_or_else(|| SettingsError::Unknown { key: key.to_owned(), value: text.clone() })
}

fn policies(values: &BTreeMap<String, String>) -> Result<Policies, SettingsError> {
    let mut policies =
        Policies { kind: known(values, "contacts.policy", Policy::named)?, fields: Vec::new() };
    for field in Field::ALL {
        let policy = known(values, &format!("contacts.policy.{field}"), Policy::named)?;
        policies.fields.extend(policy.map(|policy| (field, policy)));
    }
    Ok(policies)
}
