//! The script of a page, and the security policy that allows this script and nothing else.

/// Shows the values of plots under the pointer.
pub(super) const SCRIPT: &str = include_str!("hover.js");

/// The policy: nothing is loaded, and of all scripts only [`SCRIPT`] runs, which the browser knows by its SHA-256.
pub(super) const POLICY: &str = concat!(
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; script-src 'sha256-",
    "QZxCSgldTe7z3z+cyJQfaOHhJcM4Lny4VELo1TqaijA=",
    "'"
);

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_the_script_and_no_other() {
        let hash = STANDARD.encode(Sha256::digest(SCRIPT));
        assert!(POLICY.ends_with(&format!("script-src 'sha256-{hash}'")), "the hash of hover.js is {hash}");
        assert_eq!(POLICY.matches("script-src").count(), 1);
    }

    #[test]
    fn the_script_can_stand_in_a_page() {
        for breaks in ["</script", "<!--", "//", "http"] {
            assert!(!SCRIPT.contains(breaks), "{breaks}");
        }
    }
}
