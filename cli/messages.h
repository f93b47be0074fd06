// What the launcher says to the operator, on stdout, and how it reads what its children say. Plain functions;
// used by the launcher's one thread.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "cli/serve_options.h"

namespace quire::cli {

void Say(const std::string& line);

// A field of an object that is a string; empty if it is none.
std::string TextOf(const nlohmann::json& object, const char* key);
// The message of a log line, where it is one of our JSON lines; the line itself otherwise.
std::string Readable(const std::string& line);

// What clients call the model.
std::string ModelNameOf(const ServeOptions& options);

// Writes the ready file and says how to use what serves. `api` and `admin`: host:port.
absl::Status AnnounceReady(const ServeOptions& options, const std::string& api, const std::string& admin);

}  // namespace quire::cli
