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
// Of a coordinator's event group_lost: how the rank ended, and the last that it said.
std::string WhyLost(const nlohmann::json& group_lost);

// Writes the ready file and says how to use what serves; the keys themselves only on a terminal, since stdout
// of a service is a log. Without keys.json (the operator took it away) it says nothing of them. `api` and
// `admin`: host:port.
absl::Status AnnounceReady(const ServeOptions& options, const std::string& api, const std::string& admin);

}  // namespace quire::cli
