//! The way to a server on another machine: inside TLS, and only to the one that is meant.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use store::{MessageWriter, MysqlOptions, MysqlWriter, PrivateServer};

use crate::{ground, room, text};

/// An authority of this name; signs a certificate for 127.0.0.1.
fn authority(folder: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let root = params.self_signed(&key).expect("signed");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    let file = |kind: &str, text: String| {
        let file = folder.join(format!("{name}-{kind}.pem"));
        std::fs::write(&file, text).expect("written");
        file
    };
    (
        file("ca", root.pem()),
        file("certificate", certificate.pem()),
        file("key", key.serialize_pem()),
    )
}

#[test]
fn a_server_is_reached_inside_tls_and_a_strangers_certificate_is_refused() {
    let folder = ground::directory();
    let (ca, certificate, key) = authority(&folder, "ours");
    let (other_ca, _, _) = authority(&folder, "theirs");
    let server = PrivateServer::start_with_tls(&folder.join("server"), &certificate, &key);
    let server = server.expect("a database server");
    let port = server.port().expect("a port");
    server.run("CREATE DATABASE story").expect("a database");
    server.run("CREATE USER chat@'127.0.0.1' IDENTIFIED BY 's3cret' REQUIRE SSL").expect("a user");
    server.run("GRANT ALL ON story.* TO chat@'127.0.0.1'").expect("all rights");
    let open = |rest: &str| {
        let url = format!("mysql://chat:s3cret@127.0.0.1:{port}/story{rest}");
        MysqlWriter::open(&MysqlOptions::from_url(&url).expect("a URL"))
    };
    let trusting = |ca: &Path| format!("?ca={}", ca.display());
    let mut writer = open(&trusting(&ca)).expect("inside TLS");
    let appended = writer.append_batch(&[text(room(1), 1, 1)]).expect("written");
    assert!(appended[0].is_ok());
    for rest in ["", "?require_ssl=true", &trusting(&other_ca)] {
        let words = open(rest).expect_err("no way in").to_string();
        assert!(!words.contains("s3cret"), "{words}");
    }
}
