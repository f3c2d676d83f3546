//! A linked company is not renamed by accident. When the CRM writes another company into a contact and the tax number stays,
//! however it is spelt, it may be a correction, or the contact may have been used again for somebody else: a person is asked. Pure.

use super::merge::{Merged, Parked, Replacement, Side};
use crate::model::Field;
use crate::model::company_name::company_key;
use crate::model::match_key::tax_key;

/// Takes a new company name out of what travels to Metakocka and parks it, unless it is only spelt differently or somebody
/// has decided.
pub fn ask(merged: &mut Merged, decisions: &[(Field, Side)]) {
    let is_another = |changes: &[Replacement]| {
        changes.iter().any(|change| change.field == Field::TaxNumber && is_another_number(change))
    };
    if is_another(&merged.to_metakocka) || is_another(&merged.to_crm) {
        return;
    }
    let name = merged.to_metakocka.iter().position(|change| change.field == Field::Company);
    let Some((position, change)) = name.and_then(|at| Some((at, merged.to_metakocka.get(at)?.clone())))
    else {
        return;
    };
    let (Some(old), Some(new)) = (change.old, change.new) else { return };
    if company_key(&old) == company_key(&new) {
        return;
    }
    match decisions.iter().find(|(field, _)| *field == Field::Company).map(|(_, side)| *side) {
        Some(Side::Crm) => {}
        Some(Side::Metakocka) => {
            merged.to_metakocka.remove(position);
            merged.base.agree(Field::Company, Some(&old), Some(&old));
            merged.to_crm.push(Replacement {
                field: Field::Company,
                old: Some(new),
                new: Some(old),
                reason: "another company in a linked contact: decided by a person",
            });
        }
        None => {
            merged.to_metakocka.remove(position);
            merged.renamed = true;
            merged.parked.push(Parked {
                field: Field::Company,
                base: merged.base.crm(Field::Company).map(str::to_owned),
                crm: Some(new),
                metakocka: Some(old),
            });
        }
    }
}

/// Whether the new number is one, and not the old one in other signs. What only stands in for a number takes none away.
fn is_another_number(change: &Replacement) -> bool {
    let key = |value: &Option<String>| value.as_deref().and_then(|number| tax_key(number, None));
    let new = key(&change.new);
    new.is_some() && new != key(&change.old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(old: &str, new: &str, tax: Option<&str>) -> Merged {
        let change = |field, old: &str, new: &str| Replacement {
            field,
            old: Some(old.to_owned()),
            new: Some(new.to_owned()),
            reason: "changed in the CRM",
        };
        let mut merged = Merged::default();
        merged.to_metakocka.push(change(Field::Phone, "1", "2"));
        merged.to_metakocka.push(change(Field::Company, old, new));
        if let Some(tax) = tax {
            merged.to_metakocka.push(change(Field::TaxNumber, "SI12345671", tax));
        }
        merged
    }

    #[test]
    fn who_is_asked() {
        for (old, new, tax, decided, sent, parked, back) in [
            ("Alfa d.o.o.", "Beta d.o.o.", None, None, false, true, false),
            ("Alfa d.o.o.", "Alfa Plus d.o.o.", None, None, false, true, false),
            ("Alfa d.o.o.", "ALFA, d. o. o.", None, None, true, false, false),
            ("Alfa d.o.o.", "Alfa d.d.", None, None, true, false, false),
            ("Alfa d.o.o.", "Beta d.o.o.", Some("SI87654321"), None, true, false, false),
            ("Alfa d.o.o.", "Beta d.o.o.", Some("12345671"), None, false, true, false),
            ("Alfa d.o.o.", "Beta d.o.o.", Some("SI 1234-5671"), None, false, true, false),
            ("Alfa d.o.o.", "Beta d.o.o.", Some("ni podatka"), None, false, true, false),
            ("Alfa d.o.o.", "Beta d.o.o.", None, Some(Side::Crm), true, false, false),
            ("Alfa d.o.o.", "Beta d.o.o.", None, Some(Side::Metakocka), false, false, true),
        ] {
            let mut merged = merged(old, new, tax);
            let decisions: Vec<_> = decided.map(|side| (Field::Company, side)).into_iter().collect();
            ask(&mut merged, &decisions);
            let of_company =
                |changes: &[Replacement]| changes.iter().any(|change| change.field == Field::Company);
            let got =
                (of_company(&merged.to_metakocka), !merged.parked.is_empty(), of_company(&merged.to_crm));
            assert_eq!(got, (sent, parked, back), "{old} to {new}, tax {tax:?}, {decided:?}");
            assert_eq!(merged.renamed, parked);
            assert!(
                merged.to_metakocka.iter().any(|change| change.field == Field::Phone),
                "the rest travels"
            );
        }
    }
}
