//! Which powers a component asks for, read from its bytes before anything of it is compiled.

use wasmparser::{Parser, Payload};

use super::error::LoadError;

/// The contract's package.
const PACKAGE: &str = "metakocka:crm-sync/";
/// Its version.
const VERSION: &str = "0.1.0";
/// What may be imported from it.
const INTERFACES: [&str; 5] = ["http", "storage", "logging", "clock", "types"];
/// Imported by Rust's standard library whether it is used or not. Answered with traps.
const TRAPPED: [&str; 3] = ["wasi:io/", "wasi:cli/", "wasi:clocks/"];

/// The contract as this host speaks it.
pub fn contract() -> String {
    format!("{PACKAGE}*@{VERSION}")
}

/// The names a component imports, in its order.
///
/// # Errors
/// The bytes are no component.
pub fn imports(component: &[u8]) -> Result<Vec<String>, LoadError> {
    names(component).map(|(imports, _)| imports)
}

/// Checks that a component asks for nothing but what is lent, and offers what is called.
pub fn check(component: &[u8]) -> Result<(), LoadError> {
    let (imports, exports) = names(component)?;
    for name in exports.iter().chain(&imports) {
        if let Some((_, version)) = name.strip_prefix(PACKAGE).and_then(|name| name.rsplit_once('@'))
            && version != VERSION
        {
            return Err(LoadError::Version { found: name.clone(), expected: contract() });
        }
    }
    if let Some(unknown) = imports.iter().find(|name| !is_lent(name)) {
        return Err(LoadError::UnknownImport(unknown.clone()));
    }
    let sync = format!("{PACKAGE}sync@{VERSION}");
    if !exports.contains(&sync) {
        let reason = format!("it does not export {sync}");
        return Err(LoadError::Contract { expected: contract(), reason });
    }
    Ok(())
}

fn is_lent(name: &str) -> bool {
    if let Some((interface, version)) = name.strip_prefix(PACKAGE).and_then(|name| name.rsplit_once('@')) {
        return version == VERSION && INTERFACES.contains(&interface);
    }
    let Some((interface, version)) = name.rsplit_once('@') else { return false };
    TRAPPED.iter().any(|prefix| interface.starts_with(prefix)) && version.starts_with("0.2.")
}

/// Imports and exports of the outermost component.
fn names(component: &[u8]) -> Result<(Vec<String>, Vec<String>), LoadError> {
    if !Parser::is_component(component) {
        return Err(LoadError::NotAComponent("it does not begin like one".into()));
    }
    let broken = |error: wasmparser::BinaryReaderError| LoadError::NotAComponent(error.to_string());
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component in the text format's binary: an empty one that imports an empty instance of this name.
    fn importing(name: &str) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        // Type section: one empty instance type.
        bytes.extend([7, 3, 1, 0x42, 0]);
        let mut import = vec![1, 0, name.len() as u8];
        import.extend(name.as_bytes());
        import.extend([5, 0]);
        bytes.extend([10, import.len() as u8]);
        bytes.extend(import);
        bytes
    }

    #[test]
    fn only_what_is_lent_may_be_imported() {
        for name in [
            "metakocka:crm-sync/http@0.1.0",
            "wasi:io/poll@0.2.6",
            "wasi:cli/stderr@0.2.6",
            "wasi:clocks/wall-clock@0.2.0",
        ] {
            let component = importing(name);
            assert_eq!(imports(&component).unwrap(), [name]);
            // It gets as far as the missing export.
            assert!(matches!(check(&component), Err(LoadError::Contract { .. })), "{name}");
        }
        for name in [
            "wasi:filesystem/types@0.2.6",
            "wasi:sockets/tcp@0.2.6",
            "wasi:random/random@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:io/poll@0.3.0",
            "wasi:clocks/wall-clock",
            "metakocka:crm-sync/sync@0.1.0",
            "metakocka:crm-sync/files@0.1.0",
            "metakocka:other/http@0.1.0",
        ] {
            let refusal = check(&importing(name)).unwrap_err();
            assert!(
                matches!(&refusal, LoadError::UnknownImport(import) if import == name),
                "{name}: {refusal}"
            );
        }
    }

    #[test]
    fn another_version_is_named_with_ours() {
        let refusal = check(&importing("metakocka:crm-sync/http@0.9.0")).unwrap_err().to_string();
        assert!(refusal.contains("@0.9.0") && refusal.contains("@0.1.0"), "{refusal}");
        assert!(refusal.contains("rebuild"), "{refusal}");
    }

    #[test]
    fn broken_bytes_are_an_error() {
        let whole = importing("wasi:io/poll@0.2.6");
        for length in [0, 3, 7, whole.len() - 1] {
            assert!(matches!(imports(&whole[..length]), Err(LoadError::NotAComponent(_))), "{length}");
        }
        assert!(matches!(imports(b"\0asm\x01\0\0\0"), Err(LoadError::NotAComponent(_))), "a core module");
    }
}
