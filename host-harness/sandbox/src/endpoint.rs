//! The vendor's paths that this build answers, each in its own family.

use crate::switches::{Switch, Switches};
use std::borrow::Cow;

/// A call of the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    GetPartner,
    AddPartner,
    UpdatePartner,
    WarehouseList,
}

/// What every path of the vendor begins with.
pub(crate) const ROOT: &str = "/rest/eshop/";

/// Family and name are one thing: the same name under another family does not exist.
const ENDPOINTS: [(&str, &str, Endpoint); 4] = [
    ("v1/", "get_partner", Endpoint::GetPartner),
    ("v1/", "add_partner", Endpoint::AddPartner),
    ("v1/", "update_partner", Endpoint::UpdatePartner),
    ("v1/json/", "warehouse_list", Endpoint::WarehouseList),
];

impl Endpoint {
    /// The call at a path. Slashes too many count as the switches say.
    pub(crate) fn at(path: &str, switches: &Switches) -> Option<Self> {
        let mut path = Cow::from(path);
        if switches.turned(Switch::TrailingSlash)
            && let Some(shorter) = path.strip_suffix('/')
        {
            path = Cow::from(shorter.to_owned());
        }
        while switches.turned(Switch::DoubledSlash) && path.contains("//") {
            path = Cow::from(path.replace("//", "/"));
        }
        let rest = path.strip_prefix(ROOT)?;
        let (.., endpoint) =
            ENDPOINTS.iter().find(|(family, name, _)| rest.strip_prefix(family) == Some(name))?;
        Some(*endpoint)
    }

    /// Whether the call changes something.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::AddPartner | Self::UpdatePartner)
    }
}

/// The names a fault rule can match.
pub(crate) fn names() -> Vec<&'static str> {
    ENDPOINTS.iter().map(|(_, name, _)| *name).collect()
}

/// The last part of a path, which is what fault rules match.
pub(crate) fn name_of(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_exists_in_its_own_family_only() {
        for (path, endpoint) in [
            ("/rest/eshop/v1/get_partner", Some(Endpoint::GetPartner)),
            ("/rest/eshop/v1/json/get_partner", None),
            ("/rest/eshop/get_partner", None),
            ("/rest/eshop/v1/json/warehouse_list", Some(Endpoint::WarehouseList)),
            ("/rest/eshop/v1/warehouse_list", None),
            ("/v1/get_partner", None),
            ("/rest/eshop/v1/get_partner/", None),
        ] {
            assert_eq!(Endpoint::at(path, &Switches::default()), endpoint, "{path}");
        }
    }

    #[test]
    fn slashes_too_many_are_a_matter_of_switches() {
        let (mut trailing, mut doubled) = (Switches::default(), Switches::default());
        trailing.set_pair("trailing-slash=accepted").unwrap();
        doubled.set_pair("doubled-slash=accepted").unwrap();
        for (path, by_default, with_trailing, with_doubled) in [
            ("/rest/eshop/v1/get_partner", true, true, true),
            ("/rest/eshop/v1/get_partner/", false, true, false),
            ("/rest/eshop//v1/get_partner", false, false, true),
            ("//rest/eshop///v1/get_partner", false, false, true),
            ("/rest/eshop//v1/get_partner/", false, false, false),
        ] {
            let found = |switches| Endpoint::at(path, switches).is_some();
            assert_eq!(
                (found(&Switches::default()), found(&trailing), found(&doubled)),
                (by_default, with_trailing, with_doubled),
                "{path}"
            );
        }
    }
}
