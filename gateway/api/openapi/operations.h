// The operations of the public HTTP plane: each with its path, its aliases, what it takes and what it
// answers. One table for both who serve them (gateway.cc makes its routes of it) and who describe them
// (document.h). Constants; any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "gateway/api/field.h"

namespace quire::gateway {

enum class Operation {
  kChat,
  kCompletion,
  kInference,
  kWebhookSecret,
  kResponse,
  kMessage,
  kCountTokens,
  kListModels,
  kGetModel,
  kModelStatus,
  kTokenize,
  kDetokenize,
  kApplyTemplate,
  kOpenApi,
};

struct OperationRow {
  Operation operation;
  const char* method;
  const char* path;  // as OpenAPI has it: "/v1/models/{model}"; its parameter may have slashes
  std::span<const char* const> aliases = {};
  const char* id;
  const char* summary;
  // One of these; none: it has no body.
  std::span<const DeclaredObject* const> bodies = {};
  const char* answer = "";           // the schema of a whole one; empty: any object
  const char* events = "";           // of a stream's events; empty: it never streams
  bool says_done = false;            // a stream ends with "[DONE]"
  std::span<const int> errors = {};  // statuses
  bool is_messages = false;          // errors in the words of Anthropic's API
  bool is_open = false;              // without a key
  bool has_etag = false;             // who has it already is told so: 304
  // What it sends by itself, as OpenAPI has it.
  nlohmann::ordered_json (*callbacks)() = nullptr;
};

std::span<const OperationRow> Operations();

// As routes have it: "/v1/models/*".
std::string RoutePath(const std::string& path);

}  // namespace quire::gateway
