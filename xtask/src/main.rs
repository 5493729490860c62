//! One command for what spans cargo, npm and the browser.

fn main() {}
