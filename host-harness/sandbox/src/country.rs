//! How the vendor writes countries: any known name or ISO code goes in, the Slovenian name comes out.

/// ISO code, Slovenian name, English name. Names that are not here stay as they were sent.
const COUNTRIES: [(&str, &str, &str); 44] = [
    ("SI", "Slovenija", "Slovenia"),
    ("HR", "Hrvaška", "Croatia"),
    ("AT", "Avstrija", "Austria"),
    ("DE", "Nemčija", "Germany"),
    ("IT", "Italija", "Italy"),
    ("HU", "Madžarska", "Hungary"),
    ("FR", "Francija", "France"),
    ("ES", "Španija", "Spain"),
    ("PT", "Portugalska", "Portugal"),
    ("NL", "Nizozemska", "Netherlands"),
    ("BE", "Belgija", "Belgium"),
    ("LU", "Luksemburg", "Luxembourg"),
    ("IE", "Irska", "Ireland"),
    ("DK", "Danska", "Denmark"),
    ("SE", "Švedska", "Sweden"),
    ("FI", "Finska", "Finland"),
    ("NO", "Norveška", "Norway"),
    ("IS", "Islandija", "Iceland"),
    ("CH", "Švica", "Switzerland"),
    ("LI", "Lihtenštajn", "Liechtenstein"),
    ("CZ", "Češka", "Czech Republic"),
    ("SK", "Slovaška", "Slovakia"),
    ("PL", "Poljska", "Poland"),
    ("RO", "Romunija", "Romania"),
    ("BG", "Bolgarija", "Bulgaria"),
    ("GR", "Grčija", "Greece"),
    ("CY", "Ciper", "Cyprus"),
    ("MT", "Malta", "Malta"),
    ("EE", "Estonija", "Estonia"),
    ("LV", "Latvija", "Latvia"),
    ("LT", "Litva", "Lithuania"),
    ("BA", "Bosna in Hercegovina", "Bosnia and Herzegovina"),
    ("RS", "Srbija", "Serbia"),
    ("ME", "Črna gora", "Montenegro"),
    ("MK", "Severna Makedonija", "North Macedonia"),
    ("AL", "Albanija", "Albania"),
    ("XK", "Kosovo", "Kosovo"),
    ("TR", "Turčija", "Turkey"),
    ("UA", "Ukrajina", "Ukraine"),
    ("GB", "Velika Britanija", "United Kingdom"),
    ("XI", "Severna Irska", "United Kingdom - Northern Ireland"),
    ("US", "Združene države Amerike", "United States"),
    ("CA", "Kanada", "Canada"),
    ("AU", "Avstralija", "Australia"),
];

/// The name the vendor answers for a country that was sent as `given`.
pub(crate) fn localized(given: &str) -> &str {
    let wanted = given.trim().to_lowercase();
    COUNTRIES
        .iter()
        .find(|(iso, slovenian, english)| {
            [iso, slovenian, english].iter().any(|name| name.to_lowercase() == wanted)
        })
        .map_or(given, |(_, slovenian, _)| slovenian)
}

/// The ISO code of a country by any of its names; `GB-NI` is Northern Ireland, which the vendor knows as XI.
pub(crate) fn code(given: &str) -> Option<&'static str> {
    let wanted = given.trim().to_lowercase();
    if matches!(&*wanted, "gb-ni" | "northern ireland") {
        return Some("XI");
    }
    if wanted == "el" {
        return Some("GR");
    }
    let names = |(iso, slovenian, english): &&(&str, &str, &str)| {
        [iso, slovenian, english].iter().any(|name| name.to_lowercase() == wanted)
    };
    COUNTRIES.iter().find(names).map(|(iso, ..)| *iso)
}

#[cfg(test)]
mod tests {
    use super::localized;

    #[test]
    fn names_and_codes_become_the_slovenian_name() {
        for (given, stored) in
            [("SI", "Slovenija"), ("germany", "Nemčija"), ("Hrvaška", "Hrvaška"), ("Neverland", "Neverland")]
        {
            assert_eq!(localized(given), stored, "{given}");
        }
    }
}
