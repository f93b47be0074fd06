#include "cli/serve_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

namespace quire::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

TEST(ServeOptions, RanksAreANumberOrLeftToTheMachine) {
  ServeOptions options;
  EXPECT_EQ(*options.Ranks(), 0);  // the default
  for (const auto& [text, ranks] : {std::pair("auto", 0), {"1", 1}, {"64", 64}}) {
    options.tensor_parallel = text;
    ASSERT_TRUE(options.Ranks().ok()) << text;
    EXPECT_EQ(*options.Ranks(), ranks);
  }
  for (const char* text : {"", "0", "-1", "65", "2.0", "two", "Auto", "auto,2", "99999999999999999999"}) {
    options.tensor_parallel = text;
    EXPECT_THAT(std::string(options.Ranks().status().message()), HasSubstr("--tensor-parallel: '")) << text;
  }
}

ServeOptions Parsed(std::vector<const char*> argv) {
  ServeOptions serve;
  Options options("quire serve", "x");
  serve.Declare(options);
  argv.insert(argv.begin(), {"quire serve", "--model", "/m"});
  const absl::Status parsed = options.Parse(static_cast<int>(argv.size()), argv.data());
  EXPECT_TRUE(parsed.ok()) << parsed;
  return serve;
}

TEST(ServeOptions, GroupsAreANumberOrLeftToTheMachine) {
  ServeOptions options;
  EXPECT_EQ(*options.Groups(), 0);  // the default
  options.groups = "64";
  EXPECT_EQ(*options.Groups(), 64);
  for (const char* text : {"0", "65", "all"}) {
    options.groups = text;
    EXPECT_THAT(std::string(options.Check().message()), HasSubstr("--groups: '")) << text;
  }
}

TEST(ServeOptions, GpusAreForABackendThatTakesThem) {
  for (const char* backend : {"", "cpu"}) {
    ServeOptions options = Parsed({"--gpus=0,1"});
    options.model = testing::TempDir();
    options.backend = backend;
    EXPECT_THAT(std::string(options.Check().message()), HasSubstr("--gpus is for --backend cuda or auto"))
        << backend;
    options.backend = "auto";
    EXPECT_THAT(std::string(options.Check().message()), Not(HasSubstr("--gpus")));
  }
}

TEST(ServeOptions, EachProgramGetsItsOwn) {
  const ServeOptions options = Parsed({"--kv-blocks=7",
                                       "--target-step-ms=40",
                                       "--backend=auto",
                                       "--gpus=1",
                                       "--isa=avx512",
                                       "--weights=int8",
                                       "--reap-after=200",
                                       "--drain-seconds=20",
                                       "--stream-drain-seconds=900",
                                       "--drain-delay-ms=15000",
                                       "--max-connections=5",
                                       "--max-connections-per-ip=0",
                                       "--body-budget-mib=64",
                                       "--max-unadmitted-per-key=3",
                                       "--gateway-metrics-port=9101",
                                       "--coordinator-metrics-port=9102",
                                       "--webhook-allow=a,b:1",
                                       "--webhook-ca=f",
                                       "--webhook-jobs=9",
                                       "--webhook-retry-ms=7"});
  EXPECT_THAT(options.PassedOnTo(ServeOptions::Program::kCoordinator),
              UnorderedElementsAre("--kv-blocks=7", "--target-step-ms=40", "--isa=avx512", "--weights=int8",
                                   "--reap-after=200", "--drain-seconds=20", "--metrics-port=9102"));
  // What the workers are to be given is asked beforehand; where they compute, that decides.
  EXPECT_THAT(options.PassedOnTo(ServeOptions::Program::kCheck),
              UnorderedElementsAre("--kv-blocks=7", "--target-step-ms=40", "--isa=avx512", "--weights=int8",
                                   "--backend=auto", "--gpus=1"));
  EXPECT_THAT(
      options.PassedOnTo(ServeOptions::Program::kGateway),
      UnorderedElementsAre("--stream-drain-seconds=900", "--drain-delay-ms=15000", "--max-connections=5",
                           "--max-connections-per-ip=0", "--body-budget-mib=64", "--max-unadmitted-per-key=3",
                           "--metrics-port=9101", "--webhook-allow=a,b:1", "--webhook-ca=f",
                           "--webhook-jobs=9", "--webhook-retry-ms=7"));
}

TEST(ServeOptions, WhatIsNotGivenIsTheProgramsOwnDefault) {
  EXPECT_THAT(Parsed({}).PassedOnTo(ServeOptions::Program::kCoordinator),
              UnorderedElementsAre("--drain-seconds=8"));
  EXPECT_THAT(Parsed({}).PassedOnTo(ServeOptions::Program::kGateway),
              UnorderedElementsAre("--stream-drain-seconds=300", "--drain-delay-ms=0"));
}

// A gateway that is killed before its streams are settled leaves debts.
TEST(ServeOptions, NobodyIsKilledWithinTheTimeThatItWasGiven) {
  constexpr int64_t kSettleMs = 25'000;  // gateway/main.cc
  EXPECT_GT(Parsed({}).GatewayStopMs(), 300'000 + kSettleMs);
  EXPECT_GT(Parsed({"--drain-delay-ms=3600000"}).GatewayStopMs(), 3'600'000 + 300'000 + kSettleMs);
  EXPECT_GT(Parsed({"--stream-drain-seconds=86400"}).GatewayStopMs(), 86'400'000 + kSettleMs);
  EXPECT_GT(Parsed({}).CoordinatorStopMs(), 12'000);
  EXPECT_GT(Parsed({"--drain-seconds=600"}).CoordinatorStopMs(), 614'000);  // and WorkerFlags::StopGraceMs
}

TEST(ServeOptions, AModelNameThatNoRequestCouldNameIsRefused) {
  ServeOptions options = Parsed({"--model-name", "n\xff"});
  options.model = testing::TempDir();
  EXPECT_THAT(std::string(options.Check().message()), HasSubstr("--model-name"));
  options.model_name = "named";
  EXPECT_TRUE(options.Check().ok());
  options.tensor_parallel = "two";
  EXPECT_THAT(std::string(options.Check().message()), HasSubstr("--tensor-parallel"));
}

// A link to itself, which not even root may follow.
TEST(ServeOptions, AModelThatCantBeLookedAtIsRefused) {
  std::string folder = testing::TempDir() + "/quire_options_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string loop = folder + "/loop";
  std::filesystem::create_symlink("loop", loop);
  const ServeOptions options = Parsed({"--model", loop.c_str()});
  EXPECT_THAT(std::string(options.Check().message()),
              AllOf(HasSubstr("--model " + loop), HasSubstr("can't be looked at")));
  EXPECT_EQ(options.ModelName(), "loop");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace quire::cli
