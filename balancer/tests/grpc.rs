//! The standard services beside the balancer's own: any tool can list what it serves and ask whether it is well.

use balancer::{Args, Bound, key};
use clap::Parser;
use tokio::sync::oneshot;
use tonic::codegen::tokio_stream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as AskV1;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as AnswerV1;
use tonic_reflection::pb::{v1, v1alpha};

const BALANCER: &str = "ringline.v1.Balancer";

#[tokio::test]
async fn a_balancer_lists_its_methods_and_tells_its_health_until_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let key_path = dir.path().join("token.key");
    key::create(&key_path).unwrap();
    let args = ["balancer", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let args = args.into_iter().chain(["--token-key-file", key_path.to_str().unwrap()]);
    let bound = Bound::new(&Args::parse_from(args)).unwrap();
    let url = format!("http://{}", bound.grpc_address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(bound.serve(async {
        let _ = stopped.await;
    }));
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();

    let ask = |message| v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = [
        ask(AskV1::ListServices(String::new())),
        ask(AskV1::FileContainingSymbol(format!("{BALANCER}.EndSessions"))),
    ];
    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let answers = reflection.server_reflection_info(tokio_stream::iter(asked)).await.unwrap();
    let mut answers = answers.into_inner();
    let listed = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let AnswerV1::ListServicesResponse(listed) = listed else { panic!("{listed:?}") };
    let names: Vec<_> = listed.service.iter().map(|it| it.name.as_str()).collect();
    for name in [BALANCER, "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let file = answers.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(file, AnswerV1::FileDescriptorResponse(_)), "{file:?}");

    let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let asked = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = older.server_reflection_info(tokio_stream::once(asked)).await.unwrap();
    assert!(answers.into_inner().message().await.unwrap().is_some());

    let mut health = HealthClient::new(channel);
    let asked = HealthCheckRequest { service: BALANCER.to_owned() };
    let now = health.check(asked.clone()).await.unwrap().into_inner();
    assert_eq!(now.status(), ServingStatus::Serving);
    let unknown = HealthCheckRequest { service: "no.such.Service".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), tonic::Code::NotFound);
    let mut watched = health.watch(asked).await.unwrap().into_inner();
    let now = watched.message().await.unwrap().unwrap();
    assert_eq!(now.status(), ServingStatus::Serving);
    let _ = stop.send(());
    // Who watches hears of the end, and does not keep the balancer alive.
    let end = watched.message().await.unwrap().unwrap();
    assert_eq!(end.status(), ServingStatus::NotServing);
    assert!(watched.message().await.unwrap().is_none());
    served.await.unwrap().unwrap();
}
