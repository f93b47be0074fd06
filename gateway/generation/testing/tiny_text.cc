#include "gateway/generation/testing/tiny_text.h"

#include <nlohmann/json.hpp>

namespace quire::gateway::testing {
namespace {

using nlohmann::ordered_json;

constexpr const char* kTemplate =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
    "'<|im_end|>' + "
    "'\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

// Byte-level BPE writes bytes as printable characters: those that are not printable move up from U+0100.
std::string ByteAsText(int byte) {
  const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  int code = byte;
  if (!printable) {
    const int rank = byte <= 0x20 ? byte : byte == 0xAD ? 67 : 33 + byte - 0x7F;
    code = 0x100 + rank;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

ordered_json Added(TokenId id, const std::string& literal) {
  ordered_json token;
  token["id"] = id;
  token["content"] = literal;
  token["single_word"] = token["lstrip"] = token["rstrip"] = token["normalized"] = false;
  token["special"] = true;
  return token;
}

v1::TextFile* AddFile(v1::TextBundle& bundle, const std::string& name, const std::string& content) {
  v1::TextFile* file = bundle.add_files();
  file->set_name(name);
  file->set_content(content);
  return file;
}

v1::TextBundle BundleWith(const std::string& tokenizer_json, const std::string& chat_template = kTemplate) {
  v1::TextBundle bundle;
  ordered_json tokenizer_config;
  tokenizer_config["eos_token"] = "<|im_end|>";
  tokenizer_config["chat_template"] = chat_template;
  AddFile(bundle, "config.json",
          R"({"model_type": "llama", "eos_token_id": 257, "torch_dtype": "bfloat16"})");
  AddFile(bundle, "generation_config.json",
          R"({"do_sample": true, "temperature": 0.5, "top_p": 0.75, "top_k": 9, "eos_token_id": [257]})");
  AddFile(bundle, "tokenizer.json", tokenizer_json);
  AddFile(bundle, "tokenizer_config.json", tokenizer_config.dump());
  return bundle;
}

}  // namespace

std::string TinyTokenizerJson() {
  ordered_json vocabulary = ordered_json::object();
  for (int byte = 0; byte < 256; ++byte) vocabulary[ByteAsText(byte)] = byte;
  ordered_json file;
  file["version"] = "1.0";
  file["added_tokens"] = ordered_json::array();
  file["added_tokens"].push_back(Added(256, "<|im_start|>"));
  file["added_tokens"].push_back(Added(kTinyEos, "<|im_end|>"));
  file["normalizer"] = nullptr;
  file["pre_tokenizer"]["type"] = "ByteLevel";
  file["pre_tokenizer"]["add_prefix_space"] = false;
  file["pre_tokenizer"]["use_regex"] = false;
  file["decoder"]["type"] = "ByteLevel";
  file["model"]["type"] = "BPE";
  file["model"]["vocab"] = std::move(vocabulary);
  file["model"]["merges"] = ordered_json::array();
  return file.dump();
}

v1::TextBundle TinyBundle() { return BundleWith(TinyTokenizerJson()); }

namespace {

// Calls of tools as QwQ's template has them.
constexpr const char* kToolTemplate =
    "{% if tools %}{{ '<|im_start|>system\\n' }}{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endif %}{% for message in messages %}{% if message['role'] == 'tool' %}"
    "{{ '<|im_start|>user\\n<tool_response>\\n' + message['content'] + '\\n</tool_response><|im_end|>\\n' }}"
    "{% else %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}{{ '\\n<tool_call>\\n{\"name\": \"' + call.function.name + "
    "'\", \"arguments\": ' }}{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";

std::string TokenizerJsonWith(const std::vector<std::string>& added, bool special = false) {
  ordered_json file = ordered_json::parse(TinyTokenizerJson());
  TokenId id = kTinyVocabulary;
  for (const std::string& literal : added) {
    ordered_json token = Added(id++, literal);
    token["special"] = special;
    file["added_tokens"].push_back(std::move(token));
  }
  return file.dump();
}

}  // namespace

v1::TextBundle TinyBundleWith(const std::vector<std::string>& added) {
  return BundleWith(TokenizerJsonWith(added));
}

v1::TextBundle TinyBundleWithoutSystem() {
  const std::string chat_template =
      "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" +
      std::string(kTemplate);
  return BundleWith(TinyTokenizerJson(), chat_template);
}

v1::TextBundle TinyReasoningBundle() {
  const std::string chat_template =
      std::string(kTemplate) + "{% if add_generation_prompt %}{{ '<think>\\n' }}{% endif %}";
  return BundleWith(TokenizerJsonWith({"<think>", "</think>"}), chat_template);
}

v1::TextBundle TinyToolBundle(bool special) {
  return BundleWith(TokenizerJsonWith({"<tool_call>", "</tool_call>"}, special), kToolTemplate);
}

std::vector<TokenId> TinyIds(const std::string& text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

}  // namespace quire::gateway::testing
