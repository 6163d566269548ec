//! What the committed catalogue must hold.

use super::*;

#[test]
fn the_committed_text_is_well_formed() {
    let parsed = parse::parse(TEXT).expect("catalogue.txt must be readable");
    assert_eq!(parsed.kinds.len(), 183);
    assert_eq!(parsed.tables.len(), tables().len());
}
