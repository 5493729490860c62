//! Every input that once reached something new or broke something goes through its target again.

#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

const FILES_MAX: usize = 300;
const BYTES_MAX: usize = 1 << 20;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(corpus().join(target)).unwrap_or_else(|error| panic!("inputs of {target}: {error}"));
    let mut inputs: Vec<_> = folder
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a readable file"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// One test a target, so that they run side by side and the name tells which broke.
macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let target = fuzz::TARGETS.iter().find(|target| target.name == stringify!($name)).expect("a target");
            // What no fuzzer needs to find: nothing, and much of the same.
            let few = [vec![], vec![0; 64], vec![0xFF; 64], (0..=255).collect()];
            let inputs = few.into_iter().map(|bytes| ("a plain one".into(), bytes)).chain(inputs(target.name));
            for (name, bytes) in inputs {
                println!("corpus/{}/{name}", target.name);
                (target.run)(&bytes);
            }
        })*

        #[test]
        fn every_target_has_a_test_and_a_folder_and_all_of_it_is_small() {
            let tests = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let targets: BTreeSet<String> = fuzz::TARGETS.iter().map(|target| target.name.to_owned()).collect();
            let folders: BTreeSet<String> = fs::read_dir(corpus())
                .expect("the corpus")
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            assert_eq!((&tests, &folders), (&targets, &targets));
            let all: Vec<_> = targets.iter().flat_map(|target| inputs(target)).collect();
            let bytes: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
            assert!(all.len() < FILES_MAX && bytes < BYTES_MAX, "{} files of {bytes} bytes", all.len());
        }
    };
}

targets! { codec device difference document relay snapshot store_file }
