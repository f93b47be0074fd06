#include "worker/model/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace quire::worker {
namespace {

std::string File(const std::string& header, size_t data_bytes) {
  std::string file(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(file.data(), &size, 8);
  return file + header + std::string(data_bytes, '\x01');
}

absl::StatusOr<StoredTensors> Parse(const std::string& file) {
  return ParseSafetensors({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
}

TEST(SafetensorsTest, ReadsTypesShapesAndBytes) {
  const std::string file = File(R"({"__metadata__":{"format":"pt"},
      "b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},
      "a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},
      "none":{"dtype":"I64","shape":[0,4],"data_offsets":[20,20]}})",
                                20);
  const auto tensors = Parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ(tensors->size(), 3u);
  EXPECT_EQ(tensors->at("a").type, StoredType::kBf16);
  EXPECT_EQ(tensors->at("a").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensors->at("b").bytes.size(), 8u);
  EXPECT_EQ(tensors->at("none").type, StoredType::kOther);
}

TEST(SafetensorsTest, RefusesBrokenFiles) {
  const auto one = [](const std::string& entry, size_t data_bytes) {
    return File(absl::StrCat("{\"a\":", entry, "}"), data_bytes);
  };
  std::string endless_length = File("{}", 0);
  endless_length[7] = '\x7F';
  std::string length_2_63 = File("{}", 0);
  length_2_63[7] = '\x80';
  const std::string good = one(R"({"dtype":"BF16","shape":[4],"data_offsets":[0,8]})", 8);
  ASSERT_TRUE(Parse(good).ok());
  const std::pair<const char*, std::string> broken[] = {
      {"empty", ""},
      {"short", std::string(7, '\0')},
      {"truncated", good.substr(0, good.size() - 1)},
      {"trailing bytes", good + "x"},
      {"header cut", good.substr(0, 20)},
      {"header length", endless_length},
      {"header length 2^63", length_2_63},
      {"no JSON", File("{\"a\":", 0)},
      {"array", File("[]", 0)},
      {"deep", File(std::string(100'000, '[') + std::string(100'000, ']'), 0)},
      {"deep entry", one(R"({"dtype":"BF16","shape":[[[[4]]]],"data_offsets":[0,8]})", 8)},
      {"entry is no object", one("7", 0)},
      {"unknown dtype", one(R"({"dtype":"Q4_0","shape":[4],"data_offsets":[0,8]})", 8)},
      {"dtype is no string", one(R"({"dtype":4,"shape":[4],"data_offsets":[0,8]})", 8)},
      {"no offsets", one(R"({"dtype":"BF16","shape":[4]})", 8)},
      {"negative size", one(R"({"dtype":"BF16","shape":[-4],"data_offsets":[0,8]})", 8)},
      {"fractional size", one(R"({"dtype":"BF16","shape":[4.0],"data_offsets":[0,8]})", 8)},
      {"product wraps to 8",
       one(R"({"dtype":"BF16","shape":[4294967296,4294967296,4],"data_offsets":[0,8]})", 8)},
      {"too many dimensions", one(R"({"dtype":"BF16","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,8]})", 8)},
      {"offset beyond", one(R"({"dtype":"BF16","shape":[4],"data_offsets":[8,16]})", 8)},
      {"offset backwards", one(R"({"dtype":"BF16","shape":[4],"data_offsets":[8,0]})", 8)},
      {"offset wraps", one(R"({"dtype":"BF16","shape":[4],"data_offsets":[18446744073709551608,0]})", 8)},
      {"three offsets", one(R"({"dtype":"BF16","shape":[4],"data_offsets":[0,4,8]})", 8)},
      {"size disagrees", one(R"({"dtype":"BF16","shape":[3],"data_offsets":[0,8]})", 8)},
      {"overlap", File(R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},
          "b":{"dtype":"BF16","shape":[4],"data_offsets":[4,12]}})",
                       12)},
      {"same place", File(R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},
          "b":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}})",
                          8)},
      {"hole", File(R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[4,12]}})", 12)},
  };
  for (const auto& [name, file] : broken) EXPECT_FALSE(Parse(file).ok()) << name;
}

class SafetensorsFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + absl::StrCat("safetensors_test_", getpid());
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(dir_ + "/" + name, std::ios::binary) << content;
  }
  void WriteIndex(const std::string& weight_map) {
    Write("model.safetensors.index.json", absl::StrCat("{\"weight_map\":", weight_map, "}"));
  }
  std::string OpenError() {
    const auto opened = Safetensors::Open(dir_);
    return opened.ok() ? "" : std::string(opened.status().message());
  }

  const std::string a_ = File(R"({"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}})", 8);
  const std::string b_ = File(R"({"b":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", 4);
  std::string dir_;
};

TEST_F(SafetensorsFolderTest, OpensShards) {
  Write("one.safetensors", a_);
  Write("two.safetensors", b_);
  WriteIndex(R"({"a":"one.safetensors","b":"two.safetensors"})");
  const auto opened = Safetensors::Open(dir_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->Find("b")->type, StoredType::kF16);
  EXPECT_EQ((*opened)->Find("c").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SafetensorsFolderTest, RefusesAWrongIndex) {
  Write("one.safetensors", a_);
  for (const char* weight_map :
       {R"({"a":"../one.safetensors"})", R"({"a":"/etc/passwd"})",
        R"({"a":"one.safetensors/../x.safetensors"})", R"({"a":"one.bin"})", R"({"a":7})",
        R"({"b":"one.safetensors"})", R"({"a":"missing.safetensors"})", "[]"}) {
    WriteIndex(weight_map);
    EXPECT_NE(OpenError(), "") << weight_map;
  }
}

TEST_F(SafetensorsFolderTest, SaysWhatIsMissing) {
  EXPECT_NE(OpenError().find("model.safetensors"), std::string::npos);
  Write("model.safetensors", "");
  EXPECT_NE(OpenError().find("empty"), std::string::npos);
}

TEST_F(SafetensorsFolderTest, SaysWhatCanNotBeLookedAt) {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"}) {
    const std::string path = absl::StrCat(dir_, "/", name);
    std::filesystem::create_symlink(name, path);  // in a circle
    EXPECT_NE(OpenError().find(absl::StrCat(path, ": Too many levels of symbolic links")), std::string::npos)
        << OpenError();
    std::filesystem::remove(path);
  }
}

TEST_F(SafetensorsFolderTest, DigestTellsContentsApart) {
  Write("model.safetensors", a_);
  const auto first = (*Safetensors::Open(dir_))->SampleDigest();
  EXPECT_EQ((*Safetensors::Open(dir_))->SampleDigest(), first);
  std::string other = a_;
  other.back() = '\x02';
  Write("model.safetensors", other);
  EXPECT_NE((*Safetensors::Open(dir_))->SampleDigest(), first);
}

}  // namespace
}  // namespace quire::worker
