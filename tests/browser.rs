//! The page of a report as its readers use it, in a browser.

mod browser_driver;

use std::path::Path;

use browser_driver::{Browser, installed};

const ADD: &str = "reports/w126_add_d5_l2_h3_t15K_s372001/report.html";
const MIX: &str = "reports/w126_mix_d5_l3_h4_t40K_s372001/report.html";

/// The browser, or `None`, said aloud, where there is none. A CI that installs one sets
/// `CIRCUITCHECK_BROWSER_TEST=required`, so that nothing is skipped there unseen.
fn browser() -> Option<Browser> {
    let found = installed();
    if found.is_none() {
        let required = std::env::var_os("CIRCUITCHECK_BROWSER_TEST").is_some();
        assert!(
            !required,
            "no browser is installed, and the test is required"
        );
        eprintln!(
            "skipped: no Chromium is installed (Debian's package is chromium); CIRCUITCHECK_BROWSER names another"
        );
    }
    Some(Browser::start(&found?))
}

fn opened(report: &str) -> Option<Browser> {
    let mut browser = browser()?;
    browser.open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(report));
    Some(browser)
}

/// Verdicts of the rows in view, from top to bottom.
const VERDICTS: &str = "[...document.querySelectorAll('table.claims > tbody')].filter(c => !c.hidden).map(c => c.dataset.verdict).join()";

fn ends_well(browser: &Browser) {
    assert_eq!(browser.complaints, Vec::<String>::new());
    let elsewhere = browser
        .fetched
        .iter()
        .filter(|url| !url.starts_with("file://"));
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(browser.fetched.len(), 1, "{:?}", browser.fetched);
}

#[test]
fn claims_are_sorted_filtered_opened_and_followed_to_the_graph() {
    let Some(mut page) = opened(ADD) else { return };
    assert_eq!(
        page.value("document.getElementById('shown').textContent"),
        "16 claims"
    );

    page.click("thead button[data-column='3']");
    let sorted = page.value(VERDICTS);
    let sorted: Vec<&str> = sorted.as_str().unwrap().split(',').collect();
    // Claims of one set share a row.
    assert_eq!((sorted[0], sorted.len()), ("supported", 14));
    let changes = sorted.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let kinds: std::collections::BTreeSet<&&str> = sorted.iter().collect();
    assert_eq!(changes + 1, kinds.len(), "{sorted:?}");
    page.click("thead button[data-column='3']");
    let turned = page.value(VERDICTS);
    assert_eq!(
        turned.as_str().unwrap().split(',').next_back(),
        Some("supported")
    );
    assert_eq!(
        page.value("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"),
        "descending"
    );

    page.click("#find");
    page.write("a2.st");
    assert_eq!(
        page.value("document.getElementById('shown').textContent"),
        "2 of 16 claims"
    );
    assert_eq!(page.value(VERDICTS), "joint");
    page.click("#clear");
    page.click(".chip[data-verdict='partial']");
    let filtered = page.value(VERDICTS);
    assert!(
        filtered
            .as_str()
            .unwrap()
            .split(',')
            .all(|verdict| verdict == "partial"),
        "{filtered}"
    );
    page.click("#clear");

    let row = "document.getElementById('P9L0H2-A1.ST').closest('tbody')";
    assert_eq!(
        page.value(&format!("{row}.rows[1].checkVisibility()")),
        false
    );
    page.value(&format!("{row}.querySelector('.toggle').focus()"));
    page.press_enter();
    assert_eq!(
        page.value(&format!(
            "{row}.querySelector('.toggle').getAttribute('aria-expanded')"
        )),
        "true"
    );
    assert_eq!(
        page.value(&format!("{row}.rows[1].checkVisibility()")),
        true
    );
    let opened = page.value(&format!("{row}.rows[1].innerText"));
    for part in [
        "control pairs",
        "decoys",
        "P9L0H2 P11L0H1 together",
        "circuitcheck verify",
    ] {
        assert!(opened.as_str().unwrap().contains(part), "{part}: {opened}");
    }

    page.click("[id='P9L0H2-A1.ST-more'] .to-graph");
    page.wait("location.hash === '#graph'");
    page.wait("document.querySelector('.circuit-graph .vertex.chosen') !== null");
    let chosen =
        page.value("document.querySelector('.circuit-graph .vertex.chosen title').textContent");
    assert!(chosen.as_str().unwrap().contains("A1.ST"), "{chosen}");
    ends_well(&page);
}

#[test]
fn a_cell_of_a_map_leads_to_the_claim_of_its_node() {
    let Some(mut page) = opened(ADD) else { return };
    page.click("label[for='map-tasks']");
    assert_eq!(
        page.value("document.querySelector('[data-map=tasks]').checkVisibility()"),
        true
    );
    assert_eq!(
        page.value("document.querySelector('[data-map=verdicts]').checkVisibility()"),
        false
    );
    page.click("[data-map=tasks] a[href='#P16L0H2'] rect");
    page.wait("location.hash === '#P16L0H2'");
    page.wait(
        "document.getElementById('P16L0H2-A0.SC').closest('tbody').rows[1].checkVisibility()",
    );
    ends_well(&page);
}

#[test]
fn the_largest_page_opens_and_fits_a_phone() {
    let Some(mut page) = opened(MIX) else { return };
    let loaded = page.value("performance.getEntriesByType('navigation')[0].loadEventEnd");
    println!("the mixed model's page was loaded after {loaded} ms");
    page.resize(390);
    page.click("#open-all");
    let width = page.value("document.documentElement.scrollWidth");
    assert!(width.as_u64().unwrap() <= 390, "{width} pixels wide");
    ends_well(&page);
}

#[test]
fn the_reader_switches_between_light_and_dark() {
    let Some(mut page) = opened(ADD) else { return };
    let ground = "getComputedStyle(document.body).backgroundColor + ' ' + getComputedStyle(document.documentElement).colorScheme";
    let before = page.value(ground);
    page.click(".theme");
    let switched = page.value(ground);
    assert_ne!(switched, before);
    assert_eq!(
        page.value("document.querySelector('.theme').textContent"),
        "light"
    );
    page.click(".theme");
    let again = page.value("getComputedStyle(document.body).backgroundColor");
    assert!(
        before
            .as_str()
            .unwrap()
            .starts_with(again.as_str().unwrap())
    );
    ends_well(&page);
}

/// Widths of a desk's screen and of a phone's.
const WIDTHS: [u32; 2] = [1400, 390];

/// The page of a report of these files, made now.
fn made(model: &str) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
    for file in fs_names(stored.parent().unwrap()) {
        std::fs::copy(stored.with_file_name(&file), folder.path().join(&file)).unwrap();
    }
    let name = stored.parent().unwrap().file_name().unwrap();
    assert_cmd::Command::cargo_bin("circuitcheck")
        .unwrap()
        .arg("report")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("models")
                .join(name),
        )
        .args(["--stored", "--out"])
        .arg(folder.path())
        .assert()
        .code(0);
    folder
}

fn fs_names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_link_of_the_navigation_brings_its_section_to_the_top() {
    let Some(mut page) = browser() else { return };
    let folder = made(MIX);
    page.open(&folder.path().join("report.html"));
    for width in WIDTHS {
        page.resize(width);
        let links = page.value("[...document.querySelectorAll('nav a')].map(a => a.hash)");
        assert!(links.as_array().unwrap().len() >= 9, "{links}");
        for link in links.as_array().unwrap() {
            let link = link.as_str().unwrap();
            page.value("scrollTo({top: 0, behavior: 'instant'})");
            page.value(&format!(
                "document.querySelector('nav a[href=\"{link}\"]').click()"
            ));
            // The title is just under the bar, or the page ends before it can be.
            page.wait(&format!(
                "(() => {{ const title = document.querySelector('{link} h2').getBoundingClientRect(); \
                 const bar = document.querySelector('nav').getBoundingClientRect(); \
                 const ended = innerHeight + scrollY >= document.documentElement.scrollHeight - 2; \
                 return title.top >= bar.bottom && (title.top < bar.bottom + 80 || ended && title.bottom < innerHeight); }})()"
            ));
        }
    }
    ends_well(&page);
}

/// Parts of the page that are wider than it and can not be scrolled to; text that is cut off.
const CLIPPED: &str = "[...document.querySelectorAll('body *')].filter(part => { \
    const box = part.getBoundingClientRect(); \
    if (!box.width || !part.checkVisibility() || part.closest('svg svg, .visually-hidden, thead, .skip')) return false; \
    const scrolled = (of) => of && (['auto', 'scroll'].includes(getComputedStyle(of).overflowX) || scrolled(of.parentElement)); \
    const cut = getComputedStyle(part).overflowX === 'hidden' && part.scrollWidth > part.clientWidth + 1; \
    return cut || box.right > WIDTH + 1 && !scrolled(part.parentElement); \
}).map(part => `${part.tagName}.${part.getAttribute('class')}: ${part.textContent.slice(0, 40)}`)";

#[test]
fn no_part_of_a_page_is_clipped_or_left_blank() {
    let Some(mut page) = browser() else { return };
    for model in [ADD, MIX] {
        let folder = made(model);
        page.open(&folder.path().join("report.html"));
        for width in WIDTHS {
            page.resize(width);
            page.value("for (const part of document.querySelectorAll('details')) part.open = true");
            page.click("#open-all");
            assert_eq!(
                page.value(&CLIPPED.replace("WIDTH", &width.to_string())),
                serde_json::json!([]),
                "{model} at {width}"
            );
            // A full-page capture never scrolls: what is laid out only when scrolled to is blank there.
            page.value("scrollTo({top: 0, behavior: 'instant'})");
            let blank = page.value("[...document.querySelectorAll('main > section')].filter(section => ![...section.querySelectorAll('p, td, li')].some(part => part.checkVisibility({contentVisibilityAuto: true}))).map(section => section.id)");
            assert_eq!(blank, serde_json::json!([]), "{model} at {width}");
        }
    }
}

#[test]
fn a_printed_page_is_unfolded_and_has_no_controls() {
    let Some(mut page) = browser() else { return };
    let folder = made(ADD);
    page.open(&folder.path().join("report.html"));
    page.value("window.unfolded = []; window.addEventListener('beforeprint', () => { unfolded = [...document.querySelectorAll('details')].map(part => part.open) })");
    page.print();
    let unfolded = page.value("unfolded.length > 3 && unfolded.every(Boolean)");
    assert_eq!(unfolded, true, "folded parts are printed folded");
    page.wait("[...document.querySelectorAll('details')].every(part => !part.open)");

    page.show_as("print");
    let hidden = page.value("[...document.querySelectorAll('table.claims tr.more')].filter(row => !row.checkVisibility()).length");
    assert_eq!(hidden, 0);
    let controls = page.value("[...document.querySelectorAll('input, select, button, nav, .links')].filter(part => part.checkVisibility() && !part.closest('th') && !part.matches('.tabs > input')).map(part => part.outerHTML.slice(0, 80))");
    assert_eq!(controls, serde_json::json!([]));
    let maps = page.value("[...document.querySelectorAll('.tabs > figure')].filter(map => !map.checkVisibility()).length");
    assert_eq!(maps, 0);
}

#[test]
fn terms_are_explained_where_they_are_used_and_in_a_glossary() {
    let Some(mut page) = browser() else { return };
    let folder = made(ADD);
    page.open(&folder.path().join("report.html"));
    let explained = |page: &mut Browser, text: &str| {
        page.value(&format!("[...document.querySelectorAll('abbr')].find(part => part.textContent === '{text}').title"))
    };
    for (text, word) in [("A1.ST", "Tri-case"), ("joint", "set")] {
        let title = explained(&mut page, text);
        assert!(title.as_str().unwrap().contains(word), "{text}: {title}");
    }
    let terms = page.value(
        "[...document.querySelectorAll('#glossary dt')].map(term => term.textContent).join()",
    );
    for term in ["ST", "SC", "joint", "partial", "decoy"] {
        assert!(
            terms
                .as_str()
                .unwrap()
                .split(',')
                .any(|found| found == term),
            "{term}: {terms}"
        );
    }
}

/// Evidence as a mixed model of six digits would have it: that of the bundled one with more claims, moved
/// to later positions and higher digits. No network was asked; it is the page that is tried.
fn stretched(claims_wanted: usize) -> String {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join(MIX);
    let text = std::fs::read_to_string(stored.with_file_name("evidence.json")).unwrap();
    let mut evidence: serde_json::Value = serde_json::from_str(&text).unwrap();
    evidence["inputs"]["shape"]["n_digits"] = 6.into();
    let moved = |claim: &serde_json::Value| {
        let mut text = claim.to_string();
        for position in (0..18).rev() {
            text = text.replace(&format!("P{position}L"), &format!("P{}L", position + 3));
        }
        for digit in (0..5).rev() {
            text = text.replace(&format!("A{digit}."), &format!("A{}.", digit + 1));
        }
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    let claims = evidence["claims"].as_array_mut().unwrap();
    let names: std::collections::BTreeSet<String> = claims
        .iter()
        .map(|claim| claim["claim"].to_string())
        .collect();
    let more: Vec<serde_json::Value> = claims
        .iter()
        .map(moved)
        .filter(|claim| !names.contains(&claim["claim"].to_string()))
        .collect();
    claims.extend(more.into_iter().take(claims_wanted - names.len()));
    assert_eq!(claims.len(), claims_wanted);
    evidence.to_string()
}

#[test]
fn a_page_of_six_digits_stays_under_three_megabytes() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("evidence.json"), stretched(160)).unwrap();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join(MIX);
    for file in ["property.json", "circuit.json", "attention.json"] {
        std::fs::copy(stored.with_file_name(file), folder.path().join(file)).unwrap();
    }
    assert_cmd::Command::cargo_bin("circuitcheck")
        .unwrap()
        .args(["report", "--stored", "--out"])
        .arg(folder.path())
        .assert()
        .code(0);
    let page = folder.path().join("report.html");
    let bytes = std::fs::metadata(&page).unwrap().len();
    assert!(bytes < 3_000_000, "{bytes} bytes");
    let Some(mut browser) = browser() else { return };
    browser.open(&page);
    assert_eq!(
        browser.value("document.getElementById('shown').textContent"),
        "160 claims"
    );
    let loaded = browser.value("performance.getEntriesByType('navigation')[0].loadEventStart");
    println!("{bytes} bytes, loaded in {loaded} ms");
    ends_well(&browser);
}
