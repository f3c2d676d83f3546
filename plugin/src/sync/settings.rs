//! The tenant's settings, as far as a run needs them.

use std::collections::BTreeMap;

use super::merge::{Policies, Policy};
use super::request::settings;
use crate::metakocka::client::Retry;
use crate::model::Field;
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

/// Where the companies are whose ERP this is.
const HOME: &str = "SI";

/// Write timeout plus 30 seconds: until then a request may still be running over there.
const DEFAULT_SETTLE_MS: u64 = 150_000;

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// When storage fails. A value that makes no sense was refused when it was set; should one be here anyway, the
    /// default counts.
    pub async fn read(powers: Powers<'_>) -> Result<Self, StorageError> {
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
        let number = |key: &str| values.get(key).and_then(|text| text.parse::<u64>().ok());
        let mut retry = Retry::default();
        if let Some(value) = number("retry.max-retries") {
            retry.max_retries = u32::try_from(value).unwrap_or(u32::MAX);
        }
        retry.base_delay_ms = number("retry.base-delay-ms").unwrap_or(retry.base_delay_ms);
        retry.max_delay_ms = number("retry.max-delay-ms").unwrap_or(retry.max_delay_ms);
        if let Some(text) = values.get("retry.exponential") {
            retry.exponential = text == "true";
        }
        Ok(Self {
            send_renames: values.get("contacts.rename").is_some_and(|text| text == "send"),
            separate_companies: values.get("contacts.same-company").is_some_and(|text| text == "separate"),
            default_country: values.get("contacts.default-country").cloned(),
            policies: policies(&values),
            retry,
            settle_ms: number("create.settle-seconds").map(|seconds| seconds.saturating_mul(1_000)),
        })
    }

    /// The country of contacts that name none: the vendor asks for one (`add_partner.md`), and leaving it out means at home.
    #[must_use]
    pub fn home(&self) -> &str {
        self.default_country.as_deref().map(str::trim).filter(|text| !text.is_empty()).unwrap_or(HOME)
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

fn policies(values: &BTreeMap<String, String>) -> Policies {
    let mut policies = Policies {
        kind: values.get("contacts.policy").and_then(|text| Policy::named(text)),
        fields: Vec::new(),
    };
    for field in Field::ALL {
        if let Some(policy) =
            values.get(&format!("contacts.policy.{field}")).and_then(|text| Policy::named(text))
        {
            policies.fields.push((field, policy));
        }
    }
    policies
}
