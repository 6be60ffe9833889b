//! Template databases are named after the schema they hold, so a new migration must rebuild the lab.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
