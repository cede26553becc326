use bedrock_tpm::{Batch, MechanismId};

use crate::{World, enforcing, in_virtual_time, request};

#[test]
fn numbers_that_no_request_has_are_refused_and_the_rest_is_answered() {
    in_virtual_time(async {
        let world = World::new(3, enforcing(MechanismId::TokenBucket));
        let input = std::fs::read_to_string(world.path("in")).unwrap();
        let huge = format!("{:?}", u64::MAX);
        let first = input.replacen("\"maxTokens\":50", &format!("\"maxTokens\":{huge}"), 1);
        assert_ne!(first, input);
        std::fs::write(world.path("in"), first).unwrap();
        let (report, _) = world.run().await;
        assert_eq!((report.progress.answered, report.progress.failed), (2, 1), "{report:?}");
        let output = std::fs::read_to_string(world.path("out")).unwrap();
        let tokens = output.split("\"input_tokens\":").nth(1).unwrap().split(',').next().unwrap();
        let damaged =
            output.replacen(&format!("\"input_tokens\":{tokens}"), &format!("\"input_tokens\":{huge}"), 1);
        std::fs::write(world.path("out"), damaged).unwrap();
        assert!(world.open().unwrap_err().is_usage());
    });
}

#[test]
fn an_output_in_use_or_of_another_input_is_refused_untouched() {
    in_virtual_time(async {
        let mut world = World::new(10, enforcing(MechanismId::TokenBucket));
        world.run().await;
        let whole = std::fs::read(world.path("out")).unwrap();
        let held = world.open().unwrap();
        assert!(world.open().unwrap_err().to_string().contains("another program"));
        drop(held);

        let refused = |world: &World, words: &str| {
            let error = world.open().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(words), "{error}");
            assert_eq!(std::fs::read(world.path("out")).unwrap(), whole);
        };
        let input = std::fs::read_to_string(world.path("in")).unwrap();
        std::fs::write(world.path("in"), input.replacen("word", "other", 1)).unwrap();
        refused(&world, "answers another request");
        std::fs::write(world.path("in"), input.lines().next().unwrap()).unwrap();
        refused(&world, "of the input");
        std::fs::write(world.path("in"), &input).unwrap();
        world.settings.model = "another".into();
        refused(&world, "or model");
        world.settings.model = "model".into();
        let elsewhere = Batch::open(world.path("in"), world.path("out"), "aws", world.settings.clone());
        assert!(elsewhere.unwrap_err().to_string().contains("was answered by emulator, not aws"));
        let itself = Batch::open(world.path("in"), world.path("in"), "emulator", world.settings.clone());
        assert!(itself.unwrap_err().to_string().contains("is the input"));
        assert_eq!(std::fs::read_to_string(world.path("in")).unwrap(), input);
        // More lines are no other input.
        std::fs::write(world.path("in"), format!("{input}\n\n{}", request(12))).unwrap();
        assert_eq!(world.open().unwrap().progress().left(), 1);
    });
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_request() {
    in_virtual_time(async {
        let world = World::new(2, enforcing(MechanismId::TokenBucket));
        let input = std::fs::read_to_string(world.path("in")).unwrap();
        std::fs::write(world.path("in"), format!("\u{feff}{input}")).unwrap();
        assert_eq!(world.run().await.0.progress.answered, 2);
    });
}
