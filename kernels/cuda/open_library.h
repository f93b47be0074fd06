// A library that is looked for when it is needed: the first of some places where there is one that has all
// the functions that are wanted of it. Any thread.
#pragma once

#include <dlfcn.h>

#include <span>
#include <string>

namespace quire::kernels::cuda {

template <typename Function>
bool ResolveFunction(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

// resolve(library): "", or what it lacks; what it filled in is of the library that was taken. Null where none
// is, with `why` of each.
template <typename Resolve>
void* OpenLibrary(std::span<const char* const> places, const Resolve& resolve, std::string* why) {
  for (const char* place : places) {
    void* const library = dlopen(place, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* error = dlerror();
      *why += std::string(error == nullptr ? place : error) + "; ";
      continue;
    }
    const std::string lacks = resolve(library);
    if (lacks.empty()) return library;
    *why += std::string(place) + " lacks " + lacks + "; ";
    (void)dlclose(library);
  }
  return nullptr;
}

}  // namespace quire::kernels::cuda
