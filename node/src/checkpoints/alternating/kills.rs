//! D1, D2 on the real database: a process that stores checkpoints is killed at each step that changes the disk, half of a
//! write done, and what is there afterwards is compared with a model. Then the same with syncs that fail.
//!
//! The process is this test program again, with a preloaded library that counts the steps.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    tests::{checkpoint, expected, opened},
    *,
};

/// How many checkpoints the process stores. After half of them it opens its store again.
const CHECKPOINTS: u64 = 6;

/// About how many steps are tried where not all are.
const TRIED: usize = 60;

/// What the other process does.
#[test]
#[ignore = "it is what the tests below start as another process"]
fn store_until_killed() {
    let Some(folder) = std::env::var_os("FRESNEL_STORE") else { return };
    let folder = PathBuf::from(folder);
    for half in [1..=CHECKPOINTS / 2, CHECKPOINTS / 2 + 1..=CHECKPOINTS] {
        let mut store = match AlternatingStore::open(&folder) {
            Ok(store) => store,
            Err(error) => return println!("refused {error:?}"),
        };
        for number in half {
            if let Err(error) = store.store(&checkpoint(number)) {
                return println!("refused {error:?}");
            }
            println!("stored {number}");
        }
    }
}

/// The library, or why there is none.
fn library(folder: &Path) -> Result<PathBuf, String> {
    let library = folder.join("faults.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults.c");
    let compiler =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).args([source, "-ldl"]).output();
    match compiler {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("there is no C compiler: {error}")),
    }
}

/// What the other process said.
struct Ended {
    /// The last checkpoint that it said was stored.
    stored: u64,
    /// Why it stopped, unless it was killed or came to its end.
    refused: Option<String>,
    came_to_its_end: bool,
    said: String,
}

fn run(library: &Path, store: &Path, fault: (&str, usize)) -> Ended {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "checkpoints::alternating::kills::store_until_killed"])
        .env("LD_PRELOAD", library)
        .env("FRESNEL_STORE", store)
        .env(fault.0, fault.1.to_string())
        .output()
        .expect("this program runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let after =
        |word: &str| said.lines().filter_map(|line| line.strip_prefix(word)).next_back().map(str::to_owned);
    Ended {
        stored: after("stored ").map_or(0, |number| number.parse().expect("a number")),
        refused: after("refused "),
        came_to_its_end: output.status.success(),
        said,
    }
}

/// Steps and syncs of a process that nothing happens to.
fn count(library: &Path, folder: &Path) -> (usize, usize) {
    let ended = run(library, &folder.join("undisturbed"), ("FAULT_COUNT", 1));
    assert!(ended.came_to_its_end && ended.stored == CHECKPOINTS, "{}", ended.said);
    let line = ended.said.lines().rfind(|line| line.starts_with("steps ")).expect("it counts").to_owned();
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// What is there after the process ended: what it said was stored, or one more; the one before as well, unless it was just
/// being replaced, or the newest twice, as a restart may leave it; and it can be gone on with.
fn check(path: &Path, ended: &Ended, fault: &str) {
    let mut store = opened(path);
    let found = store.load().expect("a store that can be read");
    let number = found.as_ref().map_or(0, |restored| restored.block.0);
    assert!((ended.stored..=ended.stored + 1).contains(&number), "{fault}: {number} of {}", ended.stored);
    assert_eq!(found, expected(number), "{fault}");
    assert_eq!(store.reject(), number > 0, "{fault}");
    let before = store.load().expect("a store that can be read");
    let known = before.is_none() || before == expected(number - 1) || before == expected(number);
    assert!(known, "{fault}: the one before {number}");
    drop(store);
    let mut store = opened(path);
    for number in number + 1..=number + 2 {
        store.store(&checkpoint(number)).expect("room");
    }
    drop(store);
    let mut store = opened(path);
    assert_eq!(store.load().expect("a store"), expected(number + 2), "{fault}");
    assert!(store.reject());
    assert_eq!(store.load().expect("a store"), expected(number + 1), "{fault}");
}

fn kill_every(step: impl Fn(usize) -> usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = match library(folder.path()) {
        Ok(library) => library,
        Err(reason) => return eprintln!("NOT RUN, {reason}"),
    };
    let (steps, _) = count(&library, folder.path());
    assert!(steps > 50, "only {steps} steps: does the library see them?");
    for at in (1..=steps).step_by(step(steps).max(1)) {
        let path = folder.path().join(at.to_string());
        let ended = run(&library, &path, ("FAULT_KILL_AT", at));
        // Threads of the database may take fewer steps than the last time.
        assert!(
            !ended.came_to_its_end || at > steps * 3 / 4,
            "nothing happened at step {at}: {}",
            ended.said
        );
        check(&path, &ended, &format!("killed at {at} of {steps}"));
        fs::remove_dir_all(&path).expect("its own folder");
    }
}

#[test]
fn killed_at_many_steps_it_holds_what_it_said() {
    kill_every(|steps| steps / TRIED);
}

#[test]
#[ignore = "takes minutes; the test above takes some of the steps"]
fn killed_at_every_step_it_holds_what_it_said() {
    kill_every(|_| 1);
}

/// What was stored before stays, and nothing is said to be stored that may not be.
#[test]
fn a_failed_sync_is_an_error_and_never_tried_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = match library(folder.path()) {
        Ok(library) => library,
        Err(reason) => return eprintln!("NOT RUN, {reason}"),
    };
    let (_, syncs) = count(&library, folder.path());
    let mut refused = 0;
    for at in 1..=syncs {
        let path = folder.path().join(at.to_string());
        let ended = run(&library, &path, ("FAULT_SYNC_AT", at));
        assert!(ended.came_to_its_end, "{}", ended.said);
        // Some syncs are of files that nothing depends on yet: the database goes on without them.
        refused += usize::from(ended.refused.is_some());
        assert!(ended.refused.is_some() || ended.stored == CHECKPOINTS, "sync {at}: {}", ended.said);
        check(&path, &ended, &format!("sync {at} of {syncs} failed, {:?}", ended.refused));
    }
    assert!(refused > syncs / 2, "{refused} of {syncs} were noticed");
}
