#include "worker/rpc/text_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/core/hash.h"
#include "proto/coordinator.pb.h"

namespace quire::worker {
namespace {

class TextBundleTest : public testing::Test {
 protected:
  TextBundleTest() : dir_(testing::TempDir() + "/text_bundle_test") {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(dir_ + "/" + name) << content;
  }

  const std::string dir_;
};

TEST_F(TextBundleTest, TakesTheTextFilesSortedAndNothingElse) {
  Write("tokenizer.json", "T");
  Write("config.json", "C");
  Write("chat_template.jinja", "J");
  Write("model.safetensors", "weights");
  const auto bundle = ReadTextBundle(dir_);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  v1::TextBundle message;
  ASSERT_TRUE(message.ParseFromString(bundle->serialized));
  ASSERT_EQ(message.files_size(), 3);
  EXPECT_EQ(message.files(0).name(), "chat_template.jinja");
  EXPECT_EQ(message.files(1).content(), "C");
  EXPECT_EQ(message.files(2).name(), "tokenizer.json");
  EXPECT_EQ(bundle->digest, ToBytes(Sha256(bundle->serialized)));
  EXPECT_EQ(ReadTextBundle(dir_)->digest, bundle->digest);
  EXPECT_EQ(FileIn(*bundle, "config.json"), "C");
  EXPECT_EQ(FileIn(*bundle, "tokenizer.json"), "T");
  EXPECT_EQ(FileIn(*bundle, "generation_config.json"), "");
}

TEST_F(TextBundleTest, NamesTheMissingFile) {
  Write("config.json", "C");
  const absl::Status missing = ReadTextBundle(dir_).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), testing::HasSubstr("has no tokenizer.json"));
}

}  // namespace
}  // namespace quire::worker
