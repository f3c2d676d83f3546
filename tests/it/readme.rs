//! Does the README tell the truth? Its console session is run again. The format is described in `kit/console.rs`.

use crate::site;

#[test]
fn the_console_session_of_the_readme_is_what_happens() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))
        .expect("README.md in the root of the repository");
    let steps = proof::console::replay(&page, &site()).unwrap_or_else(|why| panic!("README.md {why}"));
    println!("{steps} commands of the README did what it says");
}

#[test]
fn a_session_is_run_and_compared() {
    let page = |last: &str| {
        format!(
            "```console
$ host-harness sandbox --partners 12 --seed 7 > sandbox.json &
$ host-harness tenant add Alfa
Added tenant Alfa (0193e0a1-0000-7000-8000-000000000000)
$ host-harness connect --tenant 0193e0a1-0000-7000-8000-000000000000 --base-url BASE_URL --company-id COMPANY_ID
Connected Alfa to company ...
```
and then
```console
$ echo '{{\"id\":\"c-1\",\"company\":\"Alfa\"}}' | host-harness crm import --tenant Alfa --collection contacts
1 records imported into Alfa
$ host-harness sync --tenant Alfa
Alfa: in step.
...
  seen 12, unchanged 0, linked 0, calls 1 (least possible 1), 7 ms
{last}```
"
        )
    };
    // The line of `connect` ends in `...`, which is no line of its own: it is compared as it stands.
    let page_of = |last: &str| page(last).replace("Connected Alfa to company ...", "...");
    assert_eq!(proof::console::replay(&page_of(""), &site()), Ok(5));
    let why = proof::console::replay(&page(""), &site()).unwrap_err();
    assert!(why.starts_with("line 5: $ host-harness connect"), "{why}");
    let why = proof::console::replay(&page_of("one more line\n"), &site()).unwrap_err();
    assert!(why.contains("one more line"), "{why}");
    for nothing in ["", "# Page\n", "```sh\n$ host-harness demo\n```\n"] {
        assert!(proof::console::replay(nothing, &site()).is_err(), "{nothing:?}");
    }
    assert!(proof::console::replay("```console\n$ rm -rf x\n```\n", &site()).is_err());
}
