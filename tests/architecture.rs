//! The tree against ARCHITECTURE.md: which room may import which, and no circles inside a room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The binary, which may import every room.
const BINARY: &str = "cli";

/// Rooms whose modules form a hierarchy too. The files of `verify` and `report` are parts of one
/// job each and may refer to each other.
const LAYERED: [&str; 6] = [
    "domain",
    "storage",
    "inputs",
    "network",
    "experiment",
    "analysis",
];

/// The rooms in the order of ARCHITECTURE.md's numbered list.
fn rooms() -> Vec<String> {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    page.lines()
        .filter_map(|line| {
            let (number, rest) = line.split_once(". `")?;
            number.parse::<usize>().ok()?;
            let (name, owns) = rest.split_once('`')?;
            owns.starts_with(": ").then(|| name.to_owned())
        })
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module that a file is, from the crate's root.
fn module_of(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix("src").unwrap().with_extension("");
    let mut module: Vec<String> = inside
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    module.pop_if(|last| last == "mod");
    module
}

/// What a file mentions of its crate outside comments and tests, each from the crate's root.
fn mentioned(module: &[String], text: &str) -> BTreeSet<Vec<String>> {
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap()
        .lines()
        .map(|line| line.split("//").next().unwrap().trim())
        .collect::<Vec<_>>()
        .join(" ");
    let mut found = BTreeSet::new();
    let starts = ["crate::", "circuitcheck::", "super::"];
    for (start, root) in starts.iter().flat_map(|root| {
        code.match_indices(root)
            .map(move |(start, _)| (start, *root))
    }) {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let mut path = Vec::new();
        let mut rest = &code[start..];
        let mut above = module.to_vec();
        while let Some(tail) = rest.strip_prefix("super::") {
            above.pop();
            rest = tail;
        }
        if root == "super::" {
            path = above;
        } else {
            rest = &rest[root.len()..];
        }
        for mut full in leaves(rest) {
            let mut whole = path.clone();
            whole.append(&mut full);
            found.insert(whole);
        }
    }
    found
}

/// The paths that `a::{b, c::d}` stands for, up to three names deep.
fn leaves(text: &str) -> Vec<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut items = vec![String::new()];
            for c in group.chars() {
                match c {
                    '}' if depth == 0 => break,
                    ',' if depth == 0 => items.push(String::new()),
                    _ => {
                        depth += i32::from(c == '{') - i32::from(c == '}');
                        items.last_mut().unwrap().push(c);
                    }
                }
            }
            return items
                .iter()
                .map(|item| item.trim())
                .filter(|item| !item.is_empty())
                .flat_map(leaves)
                .map(|tail| names.iter().cloned().chain(tail).collect())
                .collect();
        }
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        names.push(rest[..end].to_owned());
        match rest[end..].strip_prefix("::") {
            Some(tail) => rest = tail,
            None => return vec![names],
        }
    }
}

#[test]
fn the_reader_of_use_lines_sees_groups_and_parents() {
    let module = ["verify".to_owned(), "decide".to_owned()];
    let text = "use crate::{domain::node, storage::{lock, files::X}};\nuse super::plan::Plan; // crate::report\n#[cfg(test)] use crate::batch;";
    let seen: Vec<String> = mentioned(&module, text)
        .iter()
        .map(|path| path.join("::"))
        .collect();
    assert_eq!(
        seen,
        [
            "domain::node",
            "storage::files::X",
            "storage::lock",
            "verify::plan::Plan"
        ]
    );
}

#[test]
fn every_folder_is_a_room_of_the_page_and_every_room_a_folder() {
    let mut listed: Vec<String> = rooms();
    listed.push(BINARY.into());
    listed.sort();
    let mut folders: Vec<String> = fs::read_dir("src")
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, listed);
}

#[test]
fn a_room_imports_only_rooms_above_it() {
    let rooms = rooms();
    let place = |room: &String| rooms.iter().position(|other| other == room);
    let mut wrong = Vec::new();
    let mut arrows: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for path in sources(Path::new("src")) {
        let module = module_of(&path);
        let Some(own) = module.first().and_then(place) else {
            continue;
        };
        for used in mentioned(&module, &fs::read_to_string(&path).unwrap()) {
            match used.first().and_then(place) {
                Some(other) if other < own => *arrows.entry((own, other)).or_default() += 1,
                Some(other) if other == own => {}
                _ => wrong.push(format!("{} uses {}", path.display(), used.join("::"))),
            }
        }
    }
    println!(
        "{} rooms, {} arrows between them",
        rooms.len(),
        arrows.len()
    );
    assert!(!arrows.is_empty());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_of_a_layered_room_do_not_import_each_other_in_a_circle() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in sources(Path::new("src")) {
        let module = module_of(&path);
        let [room, own, ..] = &module[..] else {
            continue;
        };
        if !LAYERED.contains(&room.as_str()) {
            continue;
        }
        for used in mentioned(&module, &fs::read_to_string(&path).unwrap()) {
            if let [of, other, ..] = &used[..]
                && of == room
                && other != own
            {
                uses.entry(format!("{room}::{own}"))
                    .or_default()
                    .insert(format!("{room}::{other}"));
            }
        }
    }
    assert!(!uses.is_empty());
    // Taking away modules that use no other until none is left but those in a circle.
    loop {
        let done: Vec<String> = uses
            .iter()
            .filter(|(_, others)| others.iter().all(|other| !uses.contains_key(other)))
            .map(|(module, _)| module.clone())
            .collect();
        if done.is_empty() {
            break;
        }
        uses.retain(|module, _| !done.contains(module));
    }
    assert!(uses.is_empty(), "{uses:#?}");
}
