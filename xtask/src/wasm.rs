//! `cargo xtask wasm`: the two WebAssembly modules with their JavaScript, in `js/wasm/`.

use crate::run::run;
use crate::workspace::{read, read_text, root, shown, target};
use crate::{npm, panics, rust, short_names};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use wasm_bindgen_cli_support::Bindgen;

/// What browsers run.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A module: its crate, that crate's features and how it is compiled, and the folder and name of its files.
struct Module {
    package: &'static str,
    features: &'static str,
    flags: &'static [&'static str],
    file: &'static str,
    folder: &'static str,
    name: &'static str,
}

const MODULES: [Module; 3] = [
    Module {
        package: "tidelog-engine",
        features: "module",
        // Between what the compiler inlines to make things small and to make them as small as can be: this is the smallest.
        flags: &["-C", "llvm-args=-inline-threshold=10"],
        file: "tidelog_engine.wasm",
        folder: SHIPPED,
        name: "engine",
    },
    Module {
        package: "tidelog-document",
        features: "",
        flags: &[],
        file: "tidelog_document.wasm",
        folder: SHIPPED,
        name: "document",
    },
    // For the device-storage conformance suite: built only when it is named.
    Module {
        package: "device-storage-page",
        features: "",
        flags: &[],
        file: "device_storage_page.wasm",
        folder: "target",
        name: "device-storage-page",
    },
];
/// What the package ships.
const SHIPPED: &str = "js/wasm";

/// The features that Rust's wasm32-unknown-unknown uses; every browser of the last years has them.
const WASM_OPT_FLAGS: [&str; 13] = [
    "-Oz",
    "--converge",
    // There the stack ends that grows down to it; what would reach it traps a little further on.
    "--low-memory-unused",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-call-indirect-overlong",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--strip-producers",
    "--strip-target-features",
];

/// Builds the modules of these names, or all that are shipped if there are none; with `dev` quickly and unoptimised.
pub fn wasm(names: &[String], dev: bool) -> Result<()> {
    let is_wanted = |module: &&Module| match names {
        [] => module.folder == SHIPPED,
        names => names.iter().any(|name| name == module.name),
    };
    let modules: Vec<&Module> = MODULES.iter().filter(is_wanted).collect();
    rust::add_target(TARGET)?;
    let profile = if dev { "dev" } else { "wasm" };
    for module in &modules {
        // A `cdylib` alone: beside an `rlib` all that is public would stay in it. And one by one: together they would have
        // each other's features of the crates that they share, Rust's standard library among them.
        let build = ["rustc", "--lib", "--crate-type", "cdylib", "--target", TARGET, "--profile", profile];
        let package = ["--package", module.package, "--features", module.features, "--"];
        run("cargo", build.into_iter().chain(package).chain(module.flags.iter().copied()))
            // Panic messages name source files: the same on every machine, and without its folders.
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", remapped_paths()?)
            .go()?;
    }
    if !dev {
        npm::npm()?;
    }
    let built = target()?.join(TARGET).join(if dev { "debug" } else { "wasm" });
    for module in modules {
        finish(module, &built.join(module.file), dev)?;
    }
    Ok(())
}

/// Flags that take this machine's folders out of the module's panic messages.
fn remapped_paths() -> Result<String> {
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir().context("neither CARGO_HOME nor a home folder is known")?.join(".cargo"),
    };
    let crates = cargo_home.join("registry").join("src");
    Ok(format!("--remap-path-prefix={}=crates --remap-path-prefix={}=tidelog", crates.display(), root().display()))
}

/// From cargo's module to what the package ships, unless it was made from the same module before.
fn finish(module: &Module, input: &Path, dev: bool) -> Result<()> {
    let folder = root().join(module.folder).join(module.name);
    // In a file that the package does not ship.
    let stamped = format!("{}_bg.wasm.d.ts", module.name);
    let stamp = stamp(input, dev)?;
    if fs::read_to_string(folder.join(&stamped)).is_ok_and(|text| text.ends_with(&stamp)) {
        println!("{} is up to date", shown(&folder));
        return Ok(());
    }
    // Made elsewhere and moved at the end, so that nobody sees half a module.
    let fresh = root().join("node_modules/.cache/tidelog").join(format!("{}-{}", module.name, std::process::id()));
    remove_folder(&fresh)?;
    println!("wasm-bindgen: {} -> {}", shown(input), shown(&folder));
    let mut bindgen = Bindgen::new();
    if dev {
        bindgen.input_path(input);
    } else {
        bindgen.input_bytes(module.name, panics::without_messages(input)?);
    }
    bindgen.out_name(module.name).typescript(true);
    bindgen.remove_name_section(!dev).remove_producers_section(true);
    let mut output = bindgen.web(true)?.generate_output().context("wasm-bindgen failed")?;
    let outside: Vec<&str> =
        output.wasm().imports.iter().map(|import| import.module.as_str()).filter(|m| *m == "env").collect();
    if !outside.is_empty() {
        bail!("{} wants {} functions of `env`, which a browser does not have", module.package, outside.len());
    }
    output.emit(&fresh).context("could not write what wasm-bindgen made")?;
    if !dev {
        let bytes = fresh.join(format!("{}_bg.wasm", module.name));
        let (script, types) = (fresh.join(format!("{}.js", module.name)), fresh.join(format!("{}.d.ts", module.name)));
        minify(&script)?;
        short_names::shorten(&bytes, &[&script, &types])?;
        let bytes = bytes.to_str().context("the path of the repository is not Unicode")?;
        run(&npm::program("wasm-opt")?, WASM_OPT_FLAGS.into_iter().chain([bytes, "--output", bytes])).go()?;
    }
    let stamped = fresh.join(stamped);
    fs::write(&stamped, read_text(&stamped)? + &stamp)?;
    remove_folder(&folder)?;
    fs::create_dir_all(root().join(module.folder)).with_context(|| format!("could not make {}", module.folder))?;
    fs::rename(&fresh, &folder).with_context(|| format!("could not write {}", shown(&folder)))
}

/// Takes comments, long names and white space out of a module of JavaScript.
fn minify(file: &Path) -> Result<()> {
    let minified = file.with_extension("min.js");
    let [from, to] = [file, &minified].map(|path| path.to_str().context("the path of the repository is not Unicode"));
    run(&npm::program("rolldown")?, [from?, "--format", "esm", "--minify", "--file", to?]).go()?;
    fs::rename(&minified, file).with_context(|| format!("could not write {}", shown(file)))
}

/// A line that stands for all that the result depends on. The module itself names the version of wasm-bindgen that it must
/// meet.
fn stamp(input: &Path, dev: bool) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&read(input)?);
    if !dev {
        let (binaryen, rolldown) = (npm::version("binaryen")?, npm::version("rolldown")?);
        hasher.update(format!("{binaryen} {WASM_OPT_FLAGS:?} {rolldown} {:?}", panics::PANICS).as_bytes());
    }
    Ok(format!("// Made from {}\n", hasher.finalize()))
}

fn remove_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("could not remove {}", shown(folder)))?;
    }
    Ok(())
}
