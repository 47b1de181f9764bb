lathe_add_backend(xtensor PACKAGES "xtensor" LINK lathe::lathe xtensor PC_REQUIRES xtensor DEBIAN libxtensor-dev)
