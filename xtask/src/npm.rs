//! `cargo xtask npm`: the npm packages, as the lock file has them.

use crate::run::{self, run};
use crate::workspace::{read_json, root};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::path::Path;

/// The Node.js that Vite runs on, for people.
const NODE_WANTED: &str = "Node.js 20.19 or newer in 20, or 22.12 or newer";
const DEPENDENCY_KEYS: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/// Installs the npm packages if they are missing or not those of the lock file.
pub fn npm() -> Result<()> {
    check_node()?;
    let lock = read_json(&root().join("package-lock.json"))?;
    let installed = root().join("node_modules/.package-lock.json");
    if !installed.exists() {
        return run("npm", ["ci"]).go();
    }
    if let Some(why) =
        outdated(&lock, &read_json(&installed)?, |folder| read_json(&root().join(folder).join("package.json")))?
    {
        println!("npm packages: {why}");
        return run("npm", ["install"]).go();
    }
    Ok(())
}

/// Node.js is there, and new enough.
pub fn check_node() -> Result<()> {
    if !run::exists("node") || !run::exists("npm") {
        bail!("{NODE_WANTED} is needed, with npm: see nodejs.org");
    }
    let version = run("node", ["--version"]).output()?;
    if !is_node_wanted(version.trim()) {
        bail!("{NODE_WANTED} is needed; this one is {}", version.trim());
    }
    Ok(())
}

/// Whether Vite runs on it; `version` as Node.js prints it, `v20.19.4`.
fn is_node_wanted(version: &str) -> bool {
    let mut numbers =
        version.trim_start_matches('v').split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    match (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) {
        (20, minor) => minor >= 19,
        (22, minor) => minor >= 12,
        (major, _) => major > 22,
    }
}

/// A program of an npm package.
pub fn program(name: &str) -> Result<String> {
    let name = if cfg!(windows) { format!("{name}.cmd") } else { name.to_owned() };
    let path = root().join("node_modules/.bin").join(name);
    Ok(path.to_str().context("the path of the repository is not Unicode")?.to_owned())
}

/// The installed version of an npm package.
pub fn version(package: &str) -> Result<String> {
    let package_json = read_json(&root().join("node_modules").join(package).join("package.json"))?;
    Ok(package_json["version"].as_str().context("an installed package has no version")?.to_owned())
}

/// Runs a script of one of our npm packages. A missing script is a failure: nothing is skipped without a word.
pub fn script(package: &str, script: &str) -> Result<run::Run> {
    let package_json = read_json(&root().join(package).join("package.json"))?;
    if package_json["scripts"][script].as_str().is_none() {
        bail!("{package}/package.json has no script `{script}`");
    }
    Ok(run("npm", ["run", "--silent", script, "--workspace", package]))
}

/// Why what is installed is not what the lock file and the package files say, if so.
///
/// `lock` is package-lock.json, `installed` the one that npm keeps in node_modules, and `package_json` reads the package
/// file of a folder.
fn outdated(lock: &Value, installed: &Value, package_json: impl Fn(&Path) -> Result<Value>) -> Result<Option<String>> {
    let packages = lock["packages"].as_object().context("package-lock.json has no `packages`")?;
    for (path, locked) in packages {
        if path.contains("node_modules/") {
            let found = &installed["packages"][path];
            let optional = ["optional", "peer", "devOptional"].iter().any(|key| locked[key] == true);
            if found.is_null() && !optional {
                return Ok(Some(format!("{path} is missing")));
            }
            if !found.is_null() && found["version"] != locked["version"] {
                return Ok(Some(format!("{path} is {}, locked is {}", found["version"], locked["version"])));
            }
        } else {
            let wanted = package_json(Path::new(path))?;
            if let Some(key) = DEPENDENCY_KEYS.iter().find(|key| wanted[**key] != locked[**key]) {
                return Ok(Some(format!(
                    "the {key} of {}/package.json are not in the lock file",
                    if path.is_empty() { "." } else { path }
                )));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What `outdated` says about a lock file with one package and one optional one, and what is installed.
    fn says(installed: Value, dependencies: Value) -> Option<String> {
        let lock = json!({ "packages": {
            "js": { "dependencies": { "a": "^1" } },
            "node_modules/a": { "version": "1.0.0" },
            "node_modules/b": { "version": "1.0.0", "optional": true },
        }});
        let installed = json!({ "packages": installed });
        outdated(&lock, &installed, |_| Ok(json!({ "dependencies": dependencies }))).unwrap()
    }

    #[test]
    fn packages_are_outdated_when_missing_changed_or_not_locked() {
        let locked = json!({ "a": "^1" });
        assert_eq!(says(json!({ "node_modules/a": { "version": "1.0.0" } }), locked.clone()), None);
        assert!(says(json!({}), locked.clone()).unwrap().contains("missing"));
        assert!(says(json!({ "node_modules/a": { "version": "0.9.0" } }), locked).unwrap().contains("0.9.0"));
        let installed = json!({ "node_modules/a": { "version": "1.0.0" } });
        assert!(says(installed, json!({ "a": "^1", "c": "^2" })).unwrap().contains("lock file"));
    }

    #[test]
    fn node_is_wanted_as_vite_wants_it() {
        let wanted = ["v20.19.0", "v20.20.2", "v22.12.1", "v24.0.0"];
        assert!(wanted.into_iter().all(is_node_wanted));
        let unwanted = ["v18.20.0", "v20.9.0", "v21.7.0", "v22.3.0", "", "what"];
        assert!(!unwanted.into_iter().any(is_node_wanted));
    }
}
