//! Files that are good, and files that are not. In: PEM. Out: settings that load, or the file at fault in a line.
//!
//! Never: waits for time to pass.

use super::super::watch::Watch;
use super::*;

fn fault_of(settings: &TlsSettings) -> (TlsFile, String) {
    let fault = settings.load().expect_err("one file is wrong");
    (fault.file, fault.to_string())
}

#[test]
fn a_chain_with_its_key_loads() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let signed = authority.sign(&["a.test"]);
    let chain = format!("# ours\n{}{}", signed.certificate, authority.pem);
    let certificate = folder.write("chain", &chain);
    let key = folder.write("key", &signed.key);
    let loaded = settings(&[(&certificate, &key)]).load();
    assert!(loaded.is_ok(), "{loaded:?}");
}

#[test]
fn what_is_no_certificate_or_no_key_is_named_in_one_line() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let signed = authority.sign(&["a.test"]);
    let other = authority.sign(&["a.test"]);
    let certificate = folder.write("certificate", &signed.certificate);
    let key = folder.write("key", &signed.key);
    let other_key = folder.write("other-key", &other.key);
    let empty = folder.write("empty", "");
    let prose = folder.write("prose", "a certificate\n");
    let cut = folder.write("cut", signed.certificate.split("-----END").next().unwrap());
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!secret!\n-----END CERTIFICATE-----\n";
    let no_base64 = folder.write("no-base64", no_base64);
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_der = folder.write("no-der", no_der);
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_key = folder.write("no-key", no_key);
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let sealed = folder.write("sealed", sealed);
    let missing = folder.path().join("missing");
    let (certificate, key) = (certificate.as_path(), key.as_path());
    let (of_certificate, of_key) = (TlsFile::Certificate(0), TlsFile::Key(0));
    for (files, file, at_fault, says) in [
        ((&*missing, key), of_certificate, &missing, "No such file"),
        ((&*empty, key), of_certificate, &empty, "no PEM certificate"),
        ((&*prose, key), of_certificate, &prose, "no PEM certificate"),
        (
            (key, key),
            of_certificate,
            &key.into(),
            "no PEM certificate",
        ),
        ((&*cut, key), of_certificate, &cut, "a section has no end"),
        ((&*no_base64, key), of_certificate, &no_base64, "not base64"),
        (
            (&*no_der, key),
            of_certificate,
            &no_der,
            "a certificate is wrong",
        ),
        ((certificate, &*missing), of_key, &missing, "No such file"),
        ((certificate, &*empty), of_key, &empty, "no PEM private key"),
        (
            (certificate, certificate),
            of_key,
            &certificate.into(),
            "no PEM private key",
        ),
        ((certificate, &*no_key), of_key, &no_key, ""),
        ((certificate, &*sealed), of_key, &sealed, "encrypted"),
        (
            (certificate, &*other_key),
            of_key,
            &other_key,
            "not the key of the certificate",
        ),
    ] {
        let (blamed, line) = fault_of(&settings(&[files]));
        let begins = format!("{}: ", at_fault.display());
        assert_eq!(blamed, file, "{line}");
        assert!(line.starts_with(&begins) && line.contains(says), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.contains("secret"), "{line}");
    }
    let both = settings(&[(certificate, key), (certificate, &other_key)]);
    assert_eq!(fault_of(&both).0, TlsFile::Key(1));
    let authorities = TlsSettings {
        client_auth: ClientAuth::Required,
        client_ca: Some(empty),
        ..settings(&[(certificate, key)])
    };
    assert_eq!(fault_of(&authorities).0, TlsFile::ClientCa);
}

#[test]
fn files_that_have_settled_are_taken_and_bad_ones_are_not() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let put = |name| {
        let signed = authority.sign(&["a.test"]);
        put(&folder, name, &signed)
    };
    let (certificate, key) = put("a");
    let tls = Tls::new(settings(&[(&certificate, &key)]).load().unwrap());
    let mut watch = Watch::new(&tls);
    let mut look = || {
        let before = tls.loaded();
        watch.look(&tls);
        !Arc::ptr_eq(&before, &tls.loaded())
    };
    assert_eq!([look(), look()], [false, false], "nothing has changed");

    put("a");
    assert_eq!([look(), look(), look()], [false, true, false]);

    // The key comes later than the certificate that it is for.
    let signed = authority.sign(&["a.test"]);
    folder.write("a.crt", &signed.certificate);
    assert!(!look(), "it may still be written");
    folder.write("a.key", &signed.key);
    assert_eq!([look(), look(), look()], [false, true, false]);

    folder.write("a.key", "no key");
    assert_eq!([look(), look(), look()], [false, false, false]);
    folder.write("a.key", &signed.key);
    assert_eq!([look(), look(), look()], [false, true, false]);

    fs::remove_file(&certificate).unwrap();
    assert_eq!([look(), look()], [false, false]);
}

#[test]
fn a_folder_that_is_swapped_behind_a_link_is_seen() {
    let (folder, authority) = (Folder::new(), Authority::new());
    let link = folder.path().join("live");
    let generation = |name: &str| {
        let of = folder.path().join(name);
        fs::create_dir(&of).unwrap();
        let signed = authority.sign(&["a.test"]);
        fs::write(of.join("crt"), &signed.certificate).unwrap();
        fs::write(of.join("key"), &signed.key).unwrap();
        let new = folder.path().join("new-link");
        std::os::unix::fs::symlink(of, &new).unwrap();
        fs::rename(new, &link).unwrap();
    };
    generation("one");
    let files = settings(&[(&link.join("crt"), &link.join("key"))]);
    let tls = Tls::new(files.load().unwrap());
    let mut watch = Watch::new(&tls);
    let before = tls.loaded();
    generation("two");
    watch.look(&tls);
    watch.look(&tls);
    assert!(!Arc::ptr_eq(&before, &tls.loaded()));
}
