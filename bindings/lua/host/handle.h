#pragma once
#include "host/object.h"
#include "host/stack.h"

namespace netlab::lua {

class api;
struct listen_address;

// Userdata in recipes: handles of objects, places to listen, and the inert handle that a constructor with
// mistakes returns. Each refuses use after its graph is gone.

void push_handle(lua_State* L, const object_ptr& o);
// The object behind a handle; null for anything else. Throws script_error for a stale handle.
object_ptr object_at(lua_State* L, int index);

// Absorbs every use without a further error, because its mistake is reported already.
void push_inert(lua_State* L);
bool is_inert(lua_State* L, int index);

void push_listen(lua_State* L, const listen_address& place);
const listen_address* listen_at(lua_State* L, int index);

// Makes the metatables, handles' with the methods and fields that `described` lists. Once per VM.
void install_handles(lua_State* L, const api& described);

} // namespace netlab::lua
