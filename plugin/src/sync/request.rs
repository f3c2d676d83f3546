//! What a run is asked to do.

use crate::ports::{Powers, StorageError};

/// Which way changes may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Metakocka is read, the CRM is written.
    FromMetakocka,
    /// The CRM is read, Metakocka is written.
    ToMetakocka,
    /// Both.
    Bidirectional,
}

impl Direction {
    /// Whether the CRM may be written.
    #[must_use]
    pub const fn writes_crm(self) -> bool {
        matches!(self, Self::FromMetakocka | Self::Bidirectional)
    }

    /// Whether Metakocka may be written.
    #[must_use]
    pub const fn writes_metakocka(self) -> bool {
        matches!(self, Self::ToMetakocka | Self::Bidirectional)
    }
}

/// Which records a run looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All.
    Everything,
    /// These, by CRM id or Metakocka id.
    Ids(Vec<String>),
}

/// What to do with what was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Decide and carry out.
    Apply,
    /// Decide and store the plan under this id.
    Plan(String),
    /// Carry out this stored plan and nothing else.
    ApplyPlan(String),
}

/// One run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Its name.
    pub run_id: String,
    /// The direction.
    pub direction: Direction,
    /// The records.
    pub selection: Selection,
    /// Plan or apply.
    pub mode: Mode,
    /// Whether more than a tenth of the links may be deactivated.
    pub allow_mass_deactivation: bool,
}

/// One setting as text; a JSON string loses its quotes.
pub(super) async fn settings(
    powers: Powers<'_>,
    keys: &[String],
) -> Result<std::collections::BTreeMap<String, String>, StorageError> {
    let entries = powers.storage.get_many("settings", keys.to_vec()).await?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| {
            let body: serde_json::Value = serde_json::from_slice(&entry.body).ok()?;
            let text = match body.get("value")? {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some((entry.id, text))
        })
        .collect())
}
