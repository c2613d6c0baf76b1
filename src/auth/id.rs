use crate::store::ids;

ids! {
    /// A user, also after deletion; never reused.
    UserId;
    /// A project, also after deletion; never reused.
    ProjectId;
    /// A robot account.
    RobotId;
    /// A group of users; never reused.
    GroupId;
    /// A membership: one user or group in one project.
    MemberId;
}
