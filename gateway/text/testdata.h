// For tests only: the vocabularies and templates that scripts/fetch-test-vocabularies writes, and the
// committed recordings. Tests run in the source root.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "gateway/text/tokenizer.h"

namespace quire::gateway::testing {

inline std::string ReadTestFile(const std::string& path, const std::string& advice) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " is missing: " + advice);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A file below build/testdata/text.
inline std::string FetchedFile(const std::string& name) {
  return ReadTestFile("build/testdata/text/" + name, "run scripts/fetch-test-vocabularies first");
}

// A recording below tests/golden/data/text.
inline nlohmann::ordered_json Recording(const std::string& name) {
  return nlohmann::ordered_json::parse(
      ReadTestFile("tests/golden/data/text/" + name, "run tests from the source root"));
}

// Made once per vocabulary and kept: loading takes a while.
inline const Tokenizer& TestTokenizer(const std::string& vocabulary) {
  static std::map<std::string, std::unique_ptr<const Tokenizer>> tokenizers;
  auto& tokenizer = tokenizers[vocabulary];
  if (tokenizer == nullptr) {
    auto created = Tokenizer::Create(FetchedFile(vocabulary + "/tokenizer.json"),
                                     FetchedFile(vocabulary + "/tokenizer_config.json"));
    if (!created.ok()) throw std::runtime_error(created.status().ToString());
    tokenizer = *std::move(created);
  }
  return *tokenizer;
}

}  // namespace quire::gateway::testing
