//! Several contacts of one company, none with a number of its own: three persons of one customer must not become three
//! partners. Without a number nobody can tell which partner they belong to, so a person is asked.

use super::context::{Run, Stop};
use super::identity::Identity;
use crate::crm::{COLLECTION, Contact};
use crate::model::company_name::{company_key, has_legal_form};
use crate::model::{CrmId, Field, IdSet};
use crate::ports::Pages;

const PAGE: u32 = 10_000;

/// Which of these contacts, without a link and without a number, share their company's name with another contact.
///
/// # Errors
///
/// When storage fails.
pub async fn same_company(run: &Run<'_>, contacts: &[&Contact]) -> Result<IdSet<CrmId>, Stop> {
    let mut shared = IdSet::default();
    let mut named = Vec::new();
    for contact in contacts {
        let fields = contact.fields(None);
        if let Some(company) = company(fields.get(Field::Company), fields.get(Field::FullName))
            && !Identity::of(&fields).has_number()
        {
            named.push((contact.id.clone(), name_hash(company)));
        }
    }
    if named.is_empty() || run.settings.separate_companies {
        return Ok(shared);
    }
    let twice = twice(run).await?;
    shared.extend(named.into_iter().filter(|(_, name)| twice.binary_search(name).is_ok()).map(|(id, _)| id));
    Ok(shared)
}

/// The names more than one contact has, as sorted hashes: eight bytes a contact while they are counted.
async fn twice(run: &Run<'_>) -> Result<Vec<u64>, Stop> {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default)]
        company: Option<String>,
        #[serde(default)]
        full_name: Option<String>,
        #[serde(default)]
        status: Option<String>,
    }
    let mut names: Vec<u64> = Vec::new();
    let mut pages = Pages::of(run.powers.storage, COLLECTION, &["company", "full_name", "status"], PAGE);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            // One that cannot be read is given up where it is looked at.
            let Ok(named) = serde_json::from_slice::<Named>(&entry.body) else { continue };
            if named.status.as_deref() != Some("inactive")
                && let Some(company) = company(named.company.as_deref(), named.full_name.as_deref())
            {
                names.push(name_hash(company));
            }
        }
    }
    if let Some(forecast) = run.gate.forecast() {
        forecast.rename(&mut names);
    }
    names.sort_unstable();
    let pairs = names.iter().zip(names.iter().skip(1));
    let mut twice: Vec<u64> = pairs.filter(|(one, next)| one == next).map(|(name, _)| *name).collect();
    twice.dedup();
    Ok(twice)
}

/// The company's name: its own column, or a full name with a legal form.
fn company<'n>(company: Option<&'n str>, full_name: Option<&'n str>) -> Option<&'n str> {
    let named = |name: &&str| !name.trim().is_empty();
    company.filter(named).or(full_name.filter(|name| has_legal_form(name)))
}

/// What is compared of a company's name.
pub(super) fn name_hash(company: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(company_key(company).as_bytes())
}
