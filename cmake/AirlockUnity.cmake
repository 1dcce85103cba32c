# airlock_sources(TARGET source...): adds sources of the current folder, several of them to one
# translation unit: parsing and instantiating headers is most of what a build costs. The units
# include by path from the checkout's root, so that ccache shares their objects between checkouts.
# AIRLOCK_UNITY=OFF compiles every source alone, for whoever edits them one by one.
option(AIRLOCK_UNITY "Compile several sources as one translation unit" ON)
set(AIRLOCK_UNITY_BATCH 8)

function(airlock_sources target)
  list(LENGTH ARGN left)
  if(NOT AIRLOCK_UNITY)
    target_sources(${target} PRIVATE ${ARGN})
    return()
  endif()
  # Batches of nearly the same size.
  math(EXPR batches "(${left} + ${AIRLOCK_UNITY_BATCH} - 1) / ${AIRLOCK_UNITY_BATCH}")
  set(first 0)
  while(left GREATER 0)
    math(EXPR count "(${left} + ${batches} - 1) / ${batches}")
    list(SUBLIST ARGN ${first} ${count} batch)
    math(EXPR first "${first} + ${count}")
    math(EXPR left "${left} - ${count}")
    math(EXPR batches "${batches} - 1")
    set(includes "")
    foreach(source IN LISTS batch)
      get_filename_component(path ${source} ABSOLUTE)
      file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${path})
      string(APPEND includes "#include \"${path}\"\n")
    endforeach()
    get_property(used DIRECTORY PROPERTY AIRLOCK_UNITS)
    math(EXPR used "${used} + 1")
    set_property(DIRECTORY PROPERTY AIRLOCK_UNITS ${used})
    set(unit ${CMAKE_CURRENT_BINARY_DIR}/${target}_${used}.cc)
    file(CONFIGURE OUTPUT ${unit} CONTENT "${includes}" @ONLY)
    target_sources(${target} PRIVATE ${unit})
    # A class's private parts may be of types that only its own source knows: no unit includes that
    # source twice, which is what the warning is about.
    set_source_files_properties(${unit} TARGET_DIRECTORY ${target} PROPERTIES
      INCLUDE_DIRECTORIES ${PROJECT_SOURCE_DIR} COMPILE_OPTIONS $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endwhile()
endfunction()
