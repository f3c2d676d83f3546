//! Which process holds something, and whether it is still there.

use std::fs;

/// A process, told apart from a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The start of its machine and the space its number belongs to; empty where neither is known.
    pub machine: String,
    /// Its number.
    pub id: u32,
    /// When it started, in the machine's own counting.
    pub started: String,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let id = std::process::id();
        Self { machine: machine(), id, started: stat(id).map(|(_, started)| started).unwrap_or_default() }
    }

    /// Whether it is certainly over. Of a process on another machine, or where the system does not tell, nobody knows: its
    /// lease ends by time.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        if self.machine.is_empty() || self.machine != machine() {
            return false;
        }
        match stat(self.id) {
            // Killed, and nobody has asked how it ended yet.
            Some((state, _)) if state == 'Z' || state == 'X' => true,
            Some((_, started)) => started != self.started,
            None => true,
        }
    }
}

/// The machine's start and the process space (`proc(5)`, `pid_namespaces(7)`): in another container the same number is
/// another process.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if boot.trim().is_empty() || space.as_os_str().is_empty() {
        return String::new();
    }
    format!("{} {}", boot.trim(), space.display())
}

/// State and start of a process (`proc(5)`: fields 3 and 22; the name in brackets may hold anything).
fn stat(id: u32) -> Option<(char, String)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_one_that_ended_is_gone() {
        let this = Process::this();
        assert!(!this.machine.is_empty() && !this.started.is_empty() && !this.is_gone(), "{this:?}");
        assert!(
            Process { started: "1".to_owned(), ..this.clone() }.is_gone(),
            "another start, another process"
        );
        assert!(!Process { machine: "elsewhere".to_owned(), ..this.clone() }.is_gone(), "nobody knows");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Process { id: child.id(), started: stat(child.id()).unwrap().1, ..this };
        assert!(!other.is_gone());
        child.kill().unwrap();
        // Dead and not yet asked for: whoever holds a lease like this is gone.
        while !other.is_gone() {
            std::thread::yield_now();
        }
        let _ = child.wait();
        assert!(other.is_gone());
    }
}
