//! What a partner means as a contact, written from the mapping tables and not from the plugin's code, so that a
//! misreading cannot be right on both sides.

use std::collections::BTreeMap;

use serde_json::Value;

/// Column of the CRM to its value; columns without a value are absent.
pub type Columns = BTreeMap<&'static str, String>;

/// The columns both sides keep.
pub const MAPPED: [&str; 13] = [
    "company",
    "full_name",
    "firstname",
    "lastname",
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

/// A plain value, or nothing when it is absent or blank.
fn text<'a>(record: &'a Value, member: &str) -> Option<&'a str> {
    record.get(member)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// The rows of a list; none when it is absent.
fn rows<'a>(record: &'a Value, list: &str) -> &'a [Value] {
    record.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The contact a partner of Metakocka becomes when it is imported for the first time.
///
/// # Panics
/// When the partner does not say whether it is a business: then nobody can tell what its name means.
#[must_use]
pub fn contact_of(partner: &Value) -> Columns {
    let mut columns = Columns::new();
    let mut put = |column: &'static str, value: Option<&str>| {
        if let Some(value) = value {
            columns.insert(column, value.to_owned());
        }
    };
    // One person: the first with an e-mail, else the first.
    let people = rows(partner, "partner_contact_list");
    let person = people.iter().find(|person| text(person, "email").is_some()).or(people.first());
    let business = match text(partner, "business_entity") {
        Some("true") => true,
        Some("false") => false,
        other => panic!("business_entity is {other:?}: {partner}"),
    };
    let name = if business {
        put("company", text(partner, "customer"));
        person.and_then(|person| text(person, "name"))
    } else {
        text(partner, "customer")
    };
    put("full_name", name);
    if let Some(name) = name {
        let mut words = name.split_whitespace();
        put("firstname", words.next());
        let rest = words.collect::<Vec<_>>().join(" ");
        put("lastname", Some(rest.as_str()).filter(|rest| !rest.is_empty()));
    }
    put("email", person.and_then(|person| text(person, "email")));
    // The landline goes first.
    put("phone", person.and_then(|person| text(person, "phone").or(text(person, "gsm"))));
    let addresses = rows(partner, "partner_delivery_address_list");
    let billing = addresses.iter().find(|address| address["address_type"] == "Račun").or(addresses.first());
    if let Some(address) = billing {
        put("street", text(address, "street"));
        put("postal_code", text(address, "post_number"));
        put("city", text(address, "city"));
        put("province", text(address, "province").or(text(address, "provice")));
        put("country", text(address, "country"));
    }
    put("tax_number", text(partner, "tax_id_number"));
    put("registration_number", text(partner, "registration_number"));
    columns
}

/// The same columns of a contact as the CRM exports it.
#[must_use]
pub fn columns_of(contact: &Value) -> Columns {
    MAPPED
        .into_iter()
        .filter_map(|column| text(contact, column).map(|value| (column, value.to_owned())))
        .collect()
}

/// `columns` without first and last name, which only a first import takes from the partner's name.
#[must_use]
pub fn without_split_names(mut columns: Columns) -> Columns {
    columns.remove("firstname");
    columns.remove("lastname");
    columns
}
