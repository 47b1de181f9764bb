lathe_add_backend(eigen PACKAGES "Eigen3 3.4 CONFIG" LINK lathe::lathe Eigen3::Eigen
    PC_REQUIRES "eigen3 >= 3.4" DEBIAN libeigen3-dev)
