//! CATALOGUE.md is made from the catalogue: it and the tool cannot differ.
//!
//! `WRITE=1 cargo test -p tuning --test catalogue_page` writes it anew.

use tuning::catalogue;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/CATALOGUE.md");

#[test]
fn the_page_shows_the_catalogue_as_it_is() {
    let page = tuning::page::page();
    for setting in catalogue::all() {
        let head = format!("\n### {}\n", setting.id);
        assert_eq!(
            page.matches(&head).count(),
            1,
            "{} is in no group of the page, or in two",
            setting.id
        );
    }
    if std::env::var_os("WRITE").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let shown = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        shown == page,
        "tuning/CATALOGUE.md shows another catalogue: write it anew with WRITE=1, and look at the difference"
    );
}
